"""How well a codec's output matches the recording, clip by clip, and how it uses its codebooks.

All quality metrics take ``(estimate, target)`` as ``[B, 1, S]`` and average over clips and processes. A clip on which
a measure is undefined (a silent target, nothing voiced, a nan) is left out of the mean and counted in ``skipped``.
"""

import math
import warnings
from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio
from torchmetrics.functional.audio.stoi import short_time_objective_intelligibility

from moshi_zoo.losses.spectral import LogMelLoss, MultiResolutionSTFTLoss

_SILENCE = 1e-3  # RMS of -60 dB: below any speech one would train on


class CodecMetrics(MetricCollection):
    """``si_sdr``, ``stoi``, ``mel`` and ``stft`` as one: ``metrics.update(estimate, target)``.

    Args:
        sample_rate: of both waveforms, in Hz.
        max_hz: limit of the mel distance; set it to what the recordings contain.
    """

    def __init__(self, sample_rate: int, *, max_hz: float | None = None) -> None:
        super().__init__(
            {
                "si_sdr": SISDR(),
                "stoi": STOI(sample_rate),
                "mel": MelDistance(sample_rate, max_hz=max_hz),
                "stft": STFTDistance(),
            },
            compute_groups=False,  # groups are guessed from equal first values: two distances of 0 would become one
        )


class ClipMean(Metric, ABC):
    """Mean of a measure over clips; subclasses define it in `measure`."""

    full_state_update = False
    total: Tensor
    count: Tensor
    skipped: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("skipped", torch.tensor(0), dist_reduce_fx="sum")

    @abstractmethod
    def measure(self, estimate: Tensor, target: Tensor) -> Tensor:
        """``[B, 1, S], [B, 1, S] -> [B]``; nan where undefined."""

    def update(self, estimate: Tensor, target: Tensor) -> None:
        """Take in a batch.

        Raises:
            ValueError: if the shapes differ or are not ``[B, 1, S]``.
        """
        if estimate.shape != target.shape or target.ndim != 3 or target.shape[1] != 1:
            raise ValueError(
                f"estimate {tuple(estimate.shape)} and target {tuple(target.shape)} must both be [B, 1, S]; "
                "cut the decoded clip to the recording's length"
            )
        estimate, target = estimate.float(), target.float()
        values = self.measure(estimate, target)
        valid = values.isfinite() & ~is_silent(target)
        self.total += values.where(valid, 0.0).sum()
        self.count += valid.sum()
        self.skipped += (~valid).sum()

    def compute(self) -> Tensor:
        """Mean over the clips that were not skipped; nan if all were."""
        return (self.total / self.count).float()


class SISDR(ClipMean):
    """Scale-invariant signal-to-distortion ratio in dB, higher is better; phase must match, so codecs score low.

    Not below ``floor``: there a value says "unrelated", and how much so would only drown the mean.
    """

    floor = -30.0
    higher_is_better = True

    def measure(self, estimate: Tensor, target: Tensor) -> Tensor:
        """``[B, 1, S], [B, 1, S] -> [B]`` in dB."""
        ratio = scale_invariant_signal_distortion_ratio(estimate, target)[:, 0].clamp(min=self.floor)
        # By the formula silence scores 0 dB, better than most codecs.
        return ratio.where(~is_silent(estimate), self.floor)


class STOI(ClipMean):
    """Short-time objective intelligibility (Taal et al. 2011), about 0 to 1, higher is better; runs on the CPU.

    Args:
        sample_rate: of both waveforms, in Hz; they are resampled to 10 kHz.
    """

    higher_is_better = True

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.sample_rate = sample_rate

    def measure(self, estimate: Tensor, target: Tensor) -> Tensor:
        """``[B, 1, S], [B, 1, S] -> [B]``; nan for clips with less than 0.4 s of speech."""
        if target.shape[-1] < 0.4 * self.sample_rate:
            return torch.full_like(target[:, 0, 0], float("nan"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # "too few frames", which it answers with 1e-5
            values = short_time_objective_intelligibility(estimate[:, 0], target[:, 0], self.sample_rate)
        return values.where(values != 1e-5, float("nan")).to(target)


class MelDistance(ClipMean):
    """L1 of log10 mel magnitudes over four sizes, floored at -80 dB: the log part of `LogMelLoss`, lower is better.

    Args:
        sample_rate: of both waveforms, in Hz.
        max_hz: upper edge of the mel bands; Nyquist by default.
    """

    higher_is_better = False

    def __init__(self, sample_rate: int, *, max_hz: float | None = None) -> None:
        super().__init__()
        self.distance = LogMelLoss(sample_rate, linear_weight=0.0, max_hz=max_hz)

    def measure(self, estimate: Tensor, target: Tensor) -> Tensor:
        """``[B, 1, S], [B, 1, S] -> [B]``."""
        return self.distance(estimate, target, reduction="none")


class STFTDistance(ClipMean):
    """Multi-resolution STFT distance (spectral convergence + log-magnitude L1), lower is better."""

    higher_is_better = False

    def __init__(self) -> None:
        super().__init__()
        self.distance = MultiResolutionSTFTLoss()

    def measure(self, estimate: Tensor, target: Tensor) -> Tensor:
        """``[B, 1, S], [B, 1, S] -> [B]``."""
        return self.distance(estimate, target, reduction="none")


class CodebookUse(Metric):
    """How a codec spends its codebooks, level by level.

    Args:
        num_codebooks: levels.
        codebook_size: entries of each.
        frame_rate: frames a second, for the bitrate.
    """

    full_state_update = False
    counts: Tensor  # [K, V]

    def __init__(self, num_codebooks: int, codebook_size: int, *, frame_rate: float = 12.5) -> None:
        super().__init__()
        self.frame_rate = frame_rate
        counts = torch.zeros(num_codebooks, codebook_size, dtype=torch.int64)
        self.add_state("counts", counts, dist_reduce_fx="sum")

    def update(self, codes: Tensor) -> None:
        """Count ``codes [B, K, T]``; with fewer levels than the codec has, the first ones.

        Raises:
            ValueError: for more levels than the codec has, or codes outside of the codebook.
        """
        num_codebooks, codebook_size = self.counts.shape
        if codes.ndim != 3 or codes.shape[1] > num_codebooks:
            raise ValueError(f"codes {tuple(codes.shape)} must be [B, K, T] with K <= {num_codebooks} levels")
        if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < codebook_size:
            raise ValueError(f"codes from {int(codes.min())} to {int(codes.max())} do not fit {codebook_size} entries")
        levels = torch.arange(codes.shape[1], device=codes.device)[:, None]
        flat = (levels * codebook_size + codes).flatten()  # [B, K, T] -> [B K T]
        self.counts += torch.bincount(flat, minlength=self.counts.numel()).reshape_as(self.counts)

    def compute(self) -> dict[str, Tensor]:
        """``used`` (share of entries), ``perplexity``, ``entropy`` (bits a frame), each ``[K]``; ``bitrate`` in bit/s.

        The bitrate is what an ideal entropy coder would need, level by level: at most frame rate * K * log2 V. A short
        validation set cannot use more entries than it has frames.
        """
        entropy = code_entropy(self.counts)
        return {
            "used": (self.counts > 0).float().mean(dim=1),
            "perplexity": entropy.exp2(),
            "entropy": entropy,
            "bitrate": self.frame_rate * entropy.sum(),
        }


def code_entropy(counts: Tensor) -> Tensor:
    """Entropy of each level in bits: ``[K, V] -> [K]``; 0 for a level without counts."""
    share = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)
    return -torch.xlogy(share, share).sum(dim=1) / math.log(2)


def is_silent(wav: Tensor) -> Tensor:
    """True for clips under -60 dB RMS: ``[B, 1, S] -> [B]``."""
    return wav.square().mean(dim=(1, 2)).sqrt() < _SILENCE
