"""Adversarial and feature-matching losses over a list of sub-discriminators (Moshi paper 3.3; audiocraft's means).

Every loss is a mean over elements, then over feature maps, then over sub-discriminators. Others sum: their weights do
not carry over.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor

AdversarialKind = Literal["hinge", "least-squares"]
FeatureScale = Literal["absolute", "relative"]


def discriminator_loss(
    real_logits: Sequence[Tensor], fake_logits: Sequence[Tensor], kind: AdversarialKind = "hinge"
) -> Tensor:
    """What the discriminator minimises, scalar; hinge stands at 2 when it cannot tell, least squares at 1/2.

    Args:
        real_logits: of each sub-discriminator, for recordings.
        fake_logits: of each sub-discriminator, for the generator's *detached* output.
        kind: hinge (audiocraft), or least squares with targets 1 and 0 (LSGAN).
    """
    pairs = [(x.float(), y.float()) for x, y in zip(real_logits, fake_logits, strict=True)]
    if kind == "hinge":
        return _mean((1 - x).relu().mean() + (1 + y).relu().mean() for x, y in pairs)
    return _mean((1 - x).square().mean() + y.square().mean() for x, y in pairs)


def generator_loss(fake_logits: Sequence[Tensor], kind: AdversarialKind = "hinge") -> Tensor:
    """What the generator minimises to be taken for real, scalar; with hinge it has no lower bound."""
    if kind == "hinge":
        return _mean(-y.float().mean() for y in fake_logits)
    return _mean((1 - y.float()).square().mean() for y in fake_logits)


def feature_matching_loss(
    real_maps: Sequence[Sequence[Tensor]],
    fake_maps: Sequence[Sequence[Tensor]],
    scale: FeatureScale = "absolute",
) -> Tensor:
    """L1 between the discriminator's feature maps of recording and reconstruction, scalar.

    Args:
        real_maps: per sub-discriminator, per layer; taken as constants.
        fake_maps: the same for the generator's output.
        scale: ``"relative"`` divides each map's distance by the mean magnitude of the real map (EnCodec paper, 3.4);
            audiocraft, and so Mimi, does not.
    """
    return _mean(
        _mean(_map_distance(x.detach().float(), y.float(), scale) for x, y in zip(real, fake, strict=True))
        for real, fake in zip(real_maps, fake_maps, strict=True)
    )


def _map_distance(real: Tensor, fake: Tensor, scale: FeatureScale) -> Tensor:
    distance = (fake - real).abs().mean()
    return distance if scale == "absolute" else distance / real.abs().mean().clamp(min=1e-8)


def _mean(values: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean()
