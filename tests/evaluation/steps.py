"""A codec that can be calculated by hand, and clips for it."""

import torch
from torch import Tensor

from moshi_zoo.evaluation.measurement import Clip, Segment

RATE = 8000


class StepCodec:
    """Keeps the mean of every 8 samples, in coarse steps (first codebook) and fine ones (second); no more to lose."""

    sample_rate, frame_rate = RATE, RATE / 8
    num_codebooks, codebook_size = 2, 32

    def encode(self, wav: Tensor) -> Tensor:
        wav = torch.nn.functional.pad(wav, (0, -wav.shape[-1] % 8))
        mean = wav.unflatten(-1, (-1, 8)).mean(dim=-1)  # [B, 1, T]
        coarse = ((mean + 1) * 16).floor().clamp(0, 31)
        rest = mean - self._centre(coarse, 16) + 1 / 32
        return torch.cat([coarse, (rest * 512).floor().clamp(0, 31)], dim=1).long()

    def decode(self, codes: Tensor) -> Tensor:
        mean = self._centre(codes[:, :1], 16)
        if codes.shape[1] == 2:
            mean = mean + (codes[:, 1:] + 0.5) / 512 - 1 / 32
        return mean.float().repeat_interleave(8, dim=-1)

    def _centre(self, coarse: Tensor, steps: int) -> Tensor:
        return (coarse + 0.5) / steps - 1


class OpenStepCodec(StepCodec):
    """The same, and shows what it has inside: the sign and level of each frame."""

    def features(self, wav: Tensor) -> dict[str, Tensor]:
        level = self.encode(wav)[:, 0, :, None].double() / 16 - 1  # [B, T, 1]
        return {"level": torch.cat([level, 1 - level.abs()], dim=-1)}


def tone(hertz: float, seconds: float, *, phase: float = 0.0, level: float = 0.5) -> Tensor:
    """[S]."""
    time = torch.arange(round(seconds * RATE)) / RATE
    return level * torch.sin(2 * torch.pi * hertz * time + phase)


def speech(seconds: float = 0.6, *, seed: int = 0) -> Tensor:
    """Noise that comes and goes, [S]."""
    wav = torch.randn(round(seconds * RATE), generator=torch.Generator().manual_seed(seed))
    return 0.1 * wav * (0.05 + tone(4.0, seconds, level=1.0).square())


def word(label: str, speaker: str, wav: Tensor, *, name: str = "clip") -> Clip:
    """A clip that is one word from end to end."""
    return Clip(name, wav, speaker, label, (Segment(label, 0.0, len(wav) / RATE),))
