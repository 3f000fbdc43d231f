"""What Moshi is to predict, of dialogues and of text alone, and what a wrong prediction costs (Moshi paper 3.4.4)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from moshi_zoo.losses.cross_entropy import TokenLoss, chunked_cross_entropy, weighted_cross_entropy
from moshi_zoo.losses.multistream import DepthModel, MultistreamLoss, Targets, code_loss
from moshi_zoo.models.moshi import Moshi
from moshi_zoo.modules.lora import weight_in_use
from moshi_zoo.training.moshi_metrics import Predictions


class SpeechObjective:
    """The losses of a Moshi, a part of a batch at a time: their sum is the weighted mean over the whole, exactly.

    Args:
        net: the model.
        loss: what each target counts.
        chunk: positions whose logits are held at a time.
        recompute: go through the depth transformer again in the backward pass, as sharded weights need.
    """

    def __init__(self, net: Moshi, loss: MultistreamLoss, *, chunk: int, recompute: bool):
        self.net, self.loss, self.chunk, self.recompute = net, loss, chunk, recompute

    @property
    def names(self) -> dict[str, int]:
        """What losses and metrics need to know of the rows."""
        net = self.net
        return {"pad": net.pad_token, "epad": net.epad_token, "num_own": net.num_own_codebooks}

    def targets(self, codes: Tensor) -> Targets:
        """What is to be said in dialogues, int64 [B, R, T]."""
        targets, mask = self.net.targets(codes)  # [B, 1 + K, T]
        return Targets(targets[:, 0], mask[:, 0], mask[:, 1:].transpose(0, 1))

    def denominators(self, targets: Sequence[Targets], add_up: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
        """What the weights of a batch in parts are divided by.

        Args:
            targets: of all its parts.
            add_up: sums a tensor over processes. Every process calls this.
        """
        own = [self.loss.denominators(part, **self.names) for part in targets]
        return add_up(torch.stack(own).sum(0))

    def predict(
        self, codes: Tensor, targets: Targets, denominators: Tensor, *, depth_fraction: float = 1.0
    ) -> Predictions:
        """Predict dialogues [B, R, T]; the loss is their share of the mean that the denominators belong to.

        Args:
            codes: of the dialogues.
            targets: what is to be said in them.
            denominators: of the whole batch.
            depth_fraction: as of :meth:`Moshi.hidden`.
        """
        net, hidden = self.net, self.net.hidden(codes, depth_fraction=depth_fraction)
        weights = self.loss.weights(targets, denominators, **self.names)
        text = weighted_cross_entropy(
            hidden.text, weight_in_use(net.temporal.output), targets.text, weights.text, chunk=self.chunk
        )
        # those that the depth transformer saw stand for all that have something to learn
        useful = targets.audio_mask.any(0).sum().clamp(min=1)
        share = (len(hidden.positions) / useful).clamp(max=1.0)
        audio_weights = weights.audio.flatten(1)[:, hidden.positions] / share  # [K, N]
        audio = code_loss(
            self._depth, hidden.context, hidden.tokens, audio_weights, chunk=self.chunk, recompute=self.recompute
        )
        return Predictions(
            loss=text.total + audio.total,
            text=targets.text,
            text_mask=targets.text_mask,
            text_nats=text.nats,
            text_hits=text.hits,
            audio_mask=hidden.audio_mask,
            audio_nats=audio.nats,
            audio_hits=audio.hits,
        )

    def text_alone(self, tokens: Tensor, mask: Tensor) -> TokenLoss:
        """The loss of text alone, [B, T + 1], as Helium's; where ``mask`` [B, T] says."""
        hidden = self.net.read(tokens[:, :-1])  # [B, T, D]
        return chunked_cross_entropy(
            hidden, weight_in_use(self.net.temporal.output), tokens[:, 1:], mask, chunk=self.chunk
        )

    @property
    def _depth(self) -> DepthModel:
        depth = self.net.depth
        return DepthModel(depth, lambda: weight_in_use(depth.output), list(depth.parameters()), depth.chunk)
