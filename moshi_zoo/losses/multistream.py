"""What each token of Moshi's rows counts in the loss (Moshi paper 3.4.4; spec of each preset beside it).

``L = text + audio_weight * audio``: a weighted mean over the tokens of the text, and one over the codes of all
generated rows. The semantic codes count a hundred times as much as the acoustic ones, and PAD, which two thirds of the
text are, half as much as words. The weights depend on the targets alone, so that all means are exact over processes and
parts of a batch: their denominators are known before the first product.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from moshi_zoo.losses.cross_entropy import WeightedLoss, weighted_cross_entropy
from moshi_zoo.losses.pieces import loss_in_pieces
from moshi_zoo.registry import register

Mean = Literal["frames", "pooled", "kinds"]


@dataclass(frozen=True)
class Targets:
    """What is to be said.

    Args:
        text: int64 [B, T].
        text_mask: bool [B, T], where a token counts.
        audio_mask: bool [K, B, T], where the codes of the generated rows count.
    """

    text: Tensor
    text_mask: Tensor
    audio_mask: Tensor


@dataclass(frozen=True)
class TargetWeights:
    """Weight of each target, float32, the denominators in it: text [B, T], audio [K, B, T]."""

    text: Tensor
    audio: Tensor


@register(
    "multistream-loss",
    presets={
        # Moshi paper 3.4.4 and 4.4: every frame counts alike, only PAD is worth less
        "paper": {"mean": "frames", "pad_weight": 0.5, "epad_weight": 1.0},
        # moshi-finetune: one weighted mean over all tokens and one over all codes; EPAD, the decision to speak, at half
        "moshi-finetune": {"mean": "pooled", "pad_weight": 0.5, "epad_weight": 0.5},
        # J-Moshi: PAD and the rest have means of their own, so that PAD's share does not depend on how many there are
        "jmoshi": {"mean": "kinds", "pad_weight": 0.5, "epad_weight": 1.0},
    },
)
class MultistreamLoss:
    """Weights of the targets.

    Args:
        mean: ``frames``: text over all tokens, unweighted; codes within each frame by their weights, then over frames.
            ``pooled``: both over all, by weights. ``kinds``: PAD and all other tokens separately; codes pooled.
        pad_weight: of PAD beside words.
        epad_weight: of EPAD beside words; of no effect with ``kinds``, where it is one of the others.
        semantic_weight: of the first code of a speaker.
        acoustic_weight: of each other.
        user_weight: factor for the user's codes, where the model says them.
        audio_weight: of all codes beside the text. A small temporal transformer, which both teach, learns to understand
            only while the codes, of which there are so many, do not drown the words; to the depth transformer it makes
            no difference, whose optimizer knows no scale.

    Raises:
        ValueError: if a weight is negative.
    """

    def __init__(
        self,
        *,
        mean: Mean = "frames",
        pad_weight: float = 0.5,
        epad_weight: float = 1.0,
        semantic_weight: float = 100.0,
        acoustic_weight: float = 1.0,
        user_weight: float = 1.0,
        audio_weight: float = 1.0,
    ):
        given = {"pad_weight": pad_weight, "epad_weight": epad_weight, "semantic_weight": semantic_weight}
        given |= {"acoustic_weight": acoustic_weight, "user_weight": user_weight, "audio_weight": audio_weight}
        for name, value in given.items():
            if value < 0:
                raise ValueError(f"{name} is {value}; it must be 0 or more")
        self.mean: Mean = mean
        self.pad_weight, self.epad_weight = pad_weight, epad_weight
        self.semantic_weight, self.acoustic_weight, self.user_weight = semantic_weight, acoustic_weight, user_weight
        self.audio_weight = audio_weight

    def denominators(self, targets: Targets, *, pad: int, epad: int, num_own: int) -> Tensor:
        """What the weights of a batch are divided by, float64 [3]: PAD, other text, codes. Add them over processes.

        Args:
            targets: of the batch, or of a part of it.
            pad: token.
            epad: token.
            num_own: how many of the rows of codes are Moshi's; the others are the user's.
        """
        text, audio = self._text(targets, pad, epad), self._audio(targets.audio_mask, num_own)
        is_pad = (targets.text == pad) & targets.text_mask
        if self.mean == "kinds":
            of_pad, of_others = is_pad.sum(), (targets.text_mask & ~is_pad).sum()
        else:
            of_pad = of_others = text.sum() if self.mean == "pooled" else targets.text_mask.sum()
        return torch.stack([of_pad.double(), of_others.double(), audio.double().sum()])

    def weights(self, targets: Targets, denominators: Tensor, *, pad: int, epad: int, num_own: int) -> TargetWeights:
        """The weights; arguments as of :meth:`denominators`. Where nothing counts, all are 0."""
        of_pad, of_others, of_audio = denominators.clamp(min=1e-9).float()
        text = self._text(targets, pad, epad) / torch.where(targets.text == pad, of_pad, of_others)
        return TargetWeights(text, self._audio(targets.audio_mask, num_own) * (self.audio_weight / of_audio))

    def _text(self, targets: Targets, pad: int, epad: int) -> Tensor:
        weights = targets.text_mask.float()
        weights = weights.where(targets.text != pad, self.pad_weight * weights)
        return weights if self.mean == "kinds" else weights.where(targets.text != epad, self.epad_weight * weights)

    def _audio(self, mask: Tensor, num_own: int) -> Tensor:
        acoustic = [self.acoustic_weight] * (num_own - 1)
        own = [self.semantic_weight, *acoustic]
        rows = torch.tensor([*own, *(self.user_weight * weight for weight in own)], device=mask.device)[: len(mask)]
        weights = mask * rows[:, None, None]
        return weights / weights.sum(0).clamp(min=1e-9) if self.mean == "frames" else weights


@dataclass(frozen=True)
class DepthModel:
    """What says the codes of frames.

    Args:
        hidden: context [N, D] and the tokens that go in, int64 [K, N] -> what the output products see, [K, N, d].
        output: the output products [K, V, d], asked for anew in each piece.
        parameters: of both.
        chunk: frames whose activations exist at a time.
    """

    hidden: Callable[[Tensor, Tensor], Tensor]
    output: Callable[[], Tensor]
    parameters: Sequence[Tensor]
    chunk: int


def code_loss(
    depth: DepthModel,
    context: Tensor,
    tokens: Tensor,
    weights: Tensor,
    *,
    chunk: int = 1024,
    recompute: bool = False,
) -> WeightedLoss:
    """The weighted loss of the codes of N frames, a few frames at a time.

    Args:
        depth: says them.
        context: of the temporal transformer, [N, D].
        tokens: the text and all codes, int64 [1 + K, N].
        weights: of each code, [K, N].
        chunk: positions whose logits are held at a time.
        recompute: see :func:`loss_in_pieces`.
    """
    nats, hits = torch.zeros_like(weights), torch.zeros_like(weights, dtype=torch.bool)

    def compute(part: Tensor, where: slice) -> Tensor:
        hidden = depth.hidden(part, tokens[:-1, where])
        rows = zip(hidden, depth.output(), tokens[1:, where], weights[:, where], strict=True)
        losses = [weighted_cross_entropy(*row, chunk=chunk) for row in rows]
        nats[:, where] = torch.stack([loss.nats for loss in losses])
        hits[:, where] = torch.stack([loss.hits for loss in losses])
        return torch.stack([loss.total for loss in losses]).sum()

    total = loss_in_pieces(compute, context, depth.parameters, size=depth.chunk, recompute=recompute)
    return WeightedLoss(total, nats, hits)
