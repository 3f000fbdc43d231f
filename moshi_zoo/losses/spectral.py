"""Distances between two waveforms in the time-frequency plane, all ``(estimate, target)`` as ``[B, 1, S]``."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from moshi_zoo.spectrogram import STFT, MelSpectrogram


class SpectralLoss(nn.Module, ABC):
    """A distance per clip, computed in float32 whatever the precision around it; subclasses say which."""

    @abstractmethod
    def distance(self, estimate: Tensor, target: Tensor) -> Tensor:
        """``[B, S], [B, S] -> [B]``."""

    def forward(self, estimate: Tensor, target: Tensor, *, reduction: Literal["mean", "none"] = "mean") -> Tensor:
        """The distance of ``estimate`` from ``target`` (both ``[B, 1, S]``): a scalar, or ``[B]`` without reduction.

        Raises:
            ValueError: if the shapes differ or are not mono.
        """
        if estimate.shape != target.shape or estimate.ndim != 3 or estimate.shape[1] != 1:
            raise ValueError(
                f"estimate {tuple(estimate.shape)} and target {tuple(target.shape)} must both be [B, 1, S]; "
                "cut them to one length and fold channels into the batch"
            )
        with torch.autocast(estimate.device.type, enabled=False):
            per_clip = self.distance(estimate[:, 0].float(), target[:, 0].float())
        return per_clip.mean() if reduction == "mean" else per_clip


class MultiScaleMelLoss(SpectralLoss):
    """Multi-scale mel loss of EnCodec (arXiv 2210.13438, 3.4), as audiocraft computes it for ``msspec``.

    Mean over the sizes of: (L1 of the mel power + mean square of its log10) / 2.

    Args:
        sample_rate: of both waveforms, in Hz.
        n_ffts: transform sizes; each hops by a quarter.
        num_mels: bands at every size (at 64 samples most are empty: harmless).
        min_hz: lower edge of the first band.
        max_hz: upper edge of the last band; Nyquist by default.
        floor: added to the mel power before the logarithm.
    """

    def __init__(
        self,
        sample_rate: int,
        n_ffts: Sequence[int] = (64, 128, 256, 512, 1024),
        *,
        num_mels: int = 64,
        min_hz: float = 64.0,
        max_hz: float | None = None,
        floor: float = 1e-5,
    ) -> None:
        super().__init__()
        self.floor = floor
        self.mels = nn.ModuleList(
            MelSpectrogram(sample_rate, n_fft, num_mels, min_hz=min_hz, max_hz=max_hz, power=2, scale="energy")
            for n_fft in n_ffts
        )

    def distance(self, estimate: Tensor, target: Tensor) -> Tensor:
        """``[B, S], [B, S] -> [B]``."""
        scales = []
        for mel in self.mels:
            a, b = mel(estimate), mel(target)  # [B, M, T]
            linear = (a - b).abs().mean(dim=(1, 2))
            log = ((a + self.floor).log10() - (b + self.floor).log10()).square().mean(dim=(1, 2))
            scales.append((linear + log) / 2)
        return torch.stack(scales).mean(dim=0)


class LogMelLoss(SpectralLoss):
    """L1 of log10 mel magnitudes plus relative L1 of the magnitudes: the loss that trains small codecs fast.

    With mel magnitudes A of the estimate and B of the target, the mean over the sizes of
    ``mean|log10(floor + A) - log10(floor + B)| + linear_weight * mean|A - B| / (floor + mean B)``.
    Windows are scaled to sum 1, so that one floor means one loudness (1e-4 = -80 dB) at every size; with unscaled
    windows silence dominates the loss. A silent target is safe: neither term is steeper than 1 / floor.

    Args:
        sample_rate: of both waveforms, in Hz.
        n_ffts: transform sizes; each hops by a quarter.
        num_mels: bands of each size.
        floor: magnitude under which differences stop to matter.
        linear_weight: of the relative L1, which favours the loud parts.
        max_hz: upper edge of the last band; Nyquist by default. Lower it to what the recordings contain.
    """

    def __init__(
        self,
        sample_rate: int,
        n_ffts: Sequence[int] = (2048, 1024, 512, 256),
        num_mels: Sequence[int] = (80, 64, 40, 20),
        *,
        floor: float = 1e-4,
        linear_weight: float = 0.3,
        max_hz: float | None = None,
    ) -> None:
        super().__init__()
        if len(n_ffts) != len(num_mels):
            raise ValueError(f"n_ffts has {len(n_ffts)} sizes but num_mels {len(num_mels)}: give one count per size")
        self.floor = floor
        self.linear_weight = linear_weight
        self.mels = nn.ModuleList(
            MelSpectrogram(sample_rate, n_fft, bands, max_hz=max_hz)
            for n_fft, bands in zip(n_ffts, num_mels, strict=True)
        )

    def distance(self, estimate: Tensor, target: Tensor) -> Tensor:
        """``[B, S], [B, S] -> [B]``."""
        scales = []
        for mel in self.mels:
            a, b = mel(estimate), mel(target)  # [B, M, T]
            log = ((a + self.floor).log10() - (b + self.floor).log10()).abs().mean(dim=(1, 2))
            linear = (a - b).abs().mean(dim=(1, 2)) / (b.mean(dim=(1, 2)) + self.floor)
            scales.append(log + self.linear_weight * linear)
        return torch.stack(scales).mean(dim=0)


class MultiResolutionSTFTLoss(SpectralLoss):
    """Spectral convergence plus L1 of log magnitudes (Parallel WaveGAN, arXiv 1910.11480, 2.2), clip by clip.

    Args:
        n_ffts: transform sizes, in samples like all three.
        hops: step of each size.
        window_lengths: window of each size.
        floor: power under which a bin counts as silent.
    """

    def __init__(
        self,
        n_ffts: Sequence[int] = (1024, 2048, 512),
        hops: Sequence[int] = (120, 240, 50),
        window_lengths: Sequence[int] = (600, 1200, 240),
        *,
        floor: float = 1e-8,
    ) -> None:
        super().__init__()
        if not len(n_ffts) == len(hops) == len(window_lengths):
            raise ValueError(
                f"n_ffts, hops and window_lengths have {len(n_ffts)}, {len(hops)} and {len(window_lengths)} entries: "
                "give one of each per resolution"
            )
        self.floor = floor
        self.stfts = nn.ModuleList(
            STFT(n_fft, hop=hop, window_length=window_length, padding="centre")
            for n_fft, hop, window_length in zip(n_ffts, hops, window_lengths, strict=True)
        )

    def distance(self, estimate: Tensor, target: Tensor) -> Tensor:
        """``[B, S], [B, S] -> [B]``."""
        resolutions = []
        for stft in self.stfts:
            a, b = self._magnitude(stft(estimate)), self._magnitude(stft(target))  # [B, F, T]
            convergence = torch.linalg.matrix_norm(a - b) / torch.linalg.matrix_norm(b)
            log = (a.log() - b.log()).abs().mean(dim=(1, 2))
            resolutions.append(convergence + log)
        return torch.stack(resolutions).mean(dim=0)

    def _magnitude(self, spectrum: Tensor) -> Tensor:
        # Clamped before the root: its slope at 0 is infinite.
        return (spectrum.real.square() + spectrum.imag.square()).clamp(min=self.floor).sqrt()
