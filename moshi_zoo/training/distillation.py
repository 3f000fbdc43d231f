"""Semantic distillation in training: a frozen teacher, and the projection that the codec learns towards it."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from moshi_zoo.losses.distillation import constant_prediction_cosine, cosine_distillation_loss
from moshi_zoo.modules.teacher import Teacher


class Distillation(nn.Module):
    """Teaches the semantic codebook's output through a linear projection (Moshi paper 3.3.3).

    Args:
        teacher: frozen.
        dim: width of the codec's latent.
        frame_size: samples per frame.
        sample_rate: in Hz.
    """

    def __init__(self, teacher: Teacher, dim: int, *, frame_size: int, sample_rate: int):
        super().__init__()
        self.frame_size, self.sample_rate = frame_size, sample_rate
        self.projection = nn.Linear(dim, teacher.dim, bias=False)
        self._teacher = [teacher.eval().requires_grad_(False)]  # in a list: neither in checkpoints nor in optimizers

    def forward(
        self, semantic: Tensor, batch: Mapping[str, Tensor], mean_over_processes: Callable[[Tensor], Tensor]
    ) -> dict[str, Tensor]:
        """Compare a batch: ``distillation`` is 1 - cosine, mean over the frames of all processes.

        Beside it stands ``constant_cosine``, which a student that says always the same would reach: to be beaten.

        Args:
            semantic: output of the first codebook [B, C, T].
            batch: ``wav`` [B, 1, S], and ``num_samples`` [B] of it before the padding, which is not learnt.
            mean_over_processes: of a scalar.
        """
        (teacher,) = self._teacher
        target = teacher.to(semantic.device)(batch["wav"], self.sample_rate)  # [B, D, T]
        student = self.projection(semantic.transpose(1, 2)).transpose(1, 2)
        starts = torch.arange(target.shape[-1], device=target.device) * self.frame_size
        mask = starts < batch["num_samples"][:, None]
        num_frames = mask.sum().float()
        part = num_frames / mean_over_processes(num_frames).clamp(min=1)  # shorter clips here than elsewhere count less
        loss = part * cosine_distillation_loss(student, target, mask)
        return {"distillation": loss, "constant_cosine": constant_prediction_cosine(target, mask)}
