"""Semantic distillation: the first codebook learns the direction of a teacher's features (Moshi paper 3.3.3)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def cosine_distillation_loss(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean over frames of 1 - cosine(student, teacher); the cosine runs over channels, within a frame. Scalar.

    Args:
        student: projected semantic latent, ``[B, C, T]``.
        teacher: the teacher's features, ``[B, C, T]``; taken as constants.
        mask: True where a frame holds audio, ``[B, T]``; padding must not be learnt.

    Raises:
        ValueError: if the shapes differ.
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"student features {tuple(student.shape)} and teacher features {tuple(teacher.shape)} differ [B, C, T]: "
            "project to the teacher's dim, and give both the same whole frames"
        )
    with torch.autocast(student.device.type, enabled=False):
        cosine = F.cosine_similarity(student.float(), teacher.detach().float(), dim=1)  # [B, C, T] -> [B, T]
        return _masked_mean(1 - cosine, mask)


def constant_prediction_cosine(teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """The cosine that the best constant vector reaches: what a student must beat to have learnt anything. Scalar.

    Raw features of large speech models share a huge common direction, so that this is often above 0.9.

    Args:
        teacher: the teacher's features, ``[B, C, T]``.
        mask: True where a frame holds audio, ``[B, T]``.
    """
    with torch.autocast(teacher.device.type, enabled=False):
        directions = F.normalize(teacher.detach().float(), dim=1)
        # The constant with the largest mean cosine is the mean direction, and that cosine is its length.
        return _masked_mean(directions.transpose(0, 1), mask).norm()


def _masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the last two axes ``[..., B, T]``; 0 where nothing is left."""
    if mask is None:
        return values.mean(dim=(-2, -1))
    return (values * mask).sum(dim=(-2, -1)) / mask.sum().clamp(min=1)
