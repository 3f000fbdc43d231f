"""Semantic distillation in training: a frozen teacher, and the projection that the codec learns towards it."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from moshi_zoo.losses.distillation import constant_prediction_cosine, cosine_distillation_loss
from moshi_zoo.modules.teacher import Recordings, Teacher


class Distillation(nn.Module):
    """Teaches the semantic codebook's output through a linear projection (Moshi paper 3.3.3).

    Args:
        teacher: frozen.
        dim: width of the codec's latent.
        sample_rate: in Hz.
    """

    def __init__(self, teacher: Teacher, dim: int, *, sample_rate: int):
        super().__init__()
        self.sample_rate = sample_rate
        self.projection = nn.Linear(dim, teacher.dim, bias=False)
        self._teacher = [teacher.eval().requires_grad_(False)]  # in a list: neither in checkpoints nor in optimizers

    def prepare(self, recordings: Recordings, device: torch.device) -> None:
        """Show the teacher all recordings before the training begins, in case it wants to see them."""
        (teacher,) = self._teacher
        teacher.to(device).prepare(recordings, self.sample_rate, device)

    def forward(
        self, semantic: Tensor, batch: Mapping[str, Tensor], mean_over_processes: Callable[[Tensor], Tensor]
    ) -> dict[str, Tensor]:
        """Compare a batch: ``distillation`` is 1 - cosine, mean over the frames of all processes.

        Beside it stands ``constant_cosine``, which a student that says always the same would reach: to be beaten.

        Args:
            semantic: output of the first codebook [B, C, T].
            batch: ``wav`` [B, 1, S], ``num_samples`` [B] of it before the padding, which is not learnt, and what else
                the teacher asks for.
            mean_over_processes: of a scalar.
        """
        (teacher,) = self._teacher
        lesson = teacher.to(semantic.device).lesson(batch, self.sample_rate)
        student = self.projection(semantic.transpose(1, 2)).transpose(1, 2)  # [B, C, T] -> [B, D, T]
        num_frames = lesson.mask.sum().float()
        part = num_frames / mean_over_processes(num_frames).clamp(min=1)  # shorter clips here than elsewhere count less
        loss = part * cosine_distillation_loss(student, lesson.features, lesson.mask)
        return {"distillation": loss, "constant_cosine": constant_prediction_cosine(lesson.features, lesson.mask)}
