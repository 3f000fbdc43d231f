"""Teaches the middle of the trunk to hear: an additional loss, on the words that the user says.

Moshi answers what it has heard, but of what it hears nothing is written down, and only answers tell right from wrong: a
small model learns to understand speech by that very slowly. Here a layer in the middle is made to know the user's words
a moment after they are said; the layers behind it can look them up. The head that reads them is thrown away. (Not in
the Moshi paper, whose models have hundreds of thousands of hours to learn it from; cf. intermediate CTC, arXiv
2102.03216.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from moshi_zoo.losses.cross_entropy import weighted_cross_entropy
from moshi_zoo.models.moshi import Moshi
from moshi_zoo.modules.initial import NormalLinear
from moshi_zoo.modules.norm import RMSNorm

NOTHING = -1


@dataclass(frozen=True)
class ListeningSize:
    """What hears.

    Args:
        layer: layers of the temporal transformer after which the words are known.
        weight: of the loss.
        pad_weight: of PAD beside words.
    """

    layer: int
    weight: float = 1.0
    pad_weight: float = 0.5


class Listening(nn.Module):
    """A head that reads the user's words off a layer of a Moshi.

    Args:
        net: the Moshi, whose layer is watched from now on.
        size: which, and how much it counts.

    Raises:
        ValueError: if there is no such layer.
    """

    def __init__(self, net: Moshi, size: ListeningSize):
        super().__init__()
        trunk = net.temporal.transformer
        if not 1 <= size.layer <= len(trunk.layers):
            raise ValueError(f"listening.layer is {size.layer}; the temporal transformer has {len(trunk.layers)}")
        self.size, self.pad, self.epad = size, net.pad_token, net.epad_token
        self.norm = RMSNorm(net.temporal.dim, trunk.size.norm_eps)
        self.output = NormalLinear(net.temporal.dim, net.temporal.vocab_size, bias=False)
        self._hidden: Tensor | None = None
        self._sums = torch.zeros(4, dtype=torch.float64)  # nats, tokens, words right, words
        trunk.layers[size.layer - 1].register_forward_hook(self._see)

    def denominator(self, heard: Tensor) -> Tensor:
        """What the loss of a batch is divided by, of its tokens int64 [B, T]. Add it over processes."""
        return self._weights(heard).sum()

    def forward(self, heard: Tensor, denominator: Tensor, *, chunk: int) -> Tensor:
        """The loss of the dialogues that the net has just gone through; measures it, too.

        Args:
            heard: the user's words as a row of tokens, int64 [B, T]; -1 where they are not known.
            denominator: of the whole batch.
            chunk: positions whose logits are held at a time.
        """
        assert self._hidden is not None, "the net has not seen these dialogues"
        hidden, self._hidden = self.norm(self._hidden), None
        weights = self._weights(heard) * (self.size.weight / denominator.clamp(min=1e-9)).float()
        loss = weighted_cross_entropy(hidden, self.output.weight, heard, weights, chunk=chunk)
        is_word = (heard != NOTHING) & (heard != self.pad) & (heard != self.epad)
        kinds = [(loss.nats * (heard != NOTHING)).sum(), (heard != NOTHING).sum(), (loss.hits & is_word).sum()]
        self._sums += torch.stack([*kinds, is_word.sum()]).double().cpu()
        return loss.total

    def finish(self, add_up: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """``heard``, nats a token, and ``accuracy/heard``, of words, since the last time.

        Args:
            add_up: sums a tensor over processes. Every process calls this.
        """
        nats, count, hits, words = add_up(self._sums.to(self.norm.weight.device)).tolist()
        self._sums.zero_()
        return {"heard": nats / max(count, 1), "accuracy/heard": hits / max(words, 1)} if count else {}

    def _weights(self, heard: Tensor) -> Tensor:
        return (heard != NOTHING).float().where(heard != self.pad, self.size.pad_weight)

    def _see(self, layer: nn.Module, inputs: Sequence[Tensor], output: Tensor) -> None:
        self._hidden = output
