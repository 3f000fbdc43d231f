"""Teachers for semantic distillation: frozen models of speech that show the first codebook what to keep (Moshi paper
3.3.3).

Most listen: they define `Teacher.features` of a waveform. Those that know more than the waveform (`PhonemeTeacher`)
define `Teacher.lesson` of a batch. Another kind is one more subclass with a registered name.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moshi_zoo.registry import register
from moshi_zoo.spectrogram import MelSpectrogram

FEATURE_RATE = 50  # Hz, of the features before pooling
FEATURES_PER_FRAME = 4  # of the codec: 12.5 Hz


@dataclass
class Lesson:
    """What a batch has to teach.

    Args:
        features: [B, D, T] at 12.5 Hz.
        mask: bool [B, T], the frames that shall be learnt.
    """

    features: Tensor
    mask: Tensor


class Recordings(Protocol):
    """All recordings that the training's batches are cut from."""

    names: Sequence[str]

    def load(self, index: int) -> Tensor:
        """The whole of one ``[1, S]``, at the sample rate of the training."""
        ...


class Teacher(nn.Module, ABC):
    """Features of speech at the codec's frame rate, with nothing to train.

    Args:
        dim: channels of the features.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def prepare(self, recordings: Recordings, sample_rate: int, device: torch.device) -> None:
        """See all recordings once before the training begins; most teachers need not.

        Args:
            recordings: in the order that ``recording`` of a batch counts by.
            sample_rate: theirs, in Hz.
            device: where the teacher is.
        """

    @torch.no_grad()
    def lesson(self, batch: Mapping[str, Tensor], sample_rate: int) -> Lesson:
        """Features of a batch; frames that begin in the padding are not learnt.

        Args:
            batch: ``wav`` [B, 1, S], and ``num_samples`` [B] of it before the padding.
            sample_rate: in Hz.

        Raises:
            ValueError: if S is no whole number of frames.
        """
        return Lesson(self(batch["wav"], sample_rate), mask=begins_in_speech(batch, sample_rate))

    @torch.no_grad()
    def forward(self, wav: Tensor, sample_rate: int) -> Tensor:
        """``[B, 1, S] -> [B, dim, T]`` at 12.5 Hz, T = 12.5 S / sample_rate; the caller masks frames of padding.

        Raises:
            ValueError: if S is no whole number of frames.
        """
        num_frames = count_frames(wav, sample_rate)
        features = self.features(wav, sample_rate)  # [B, 1, S] -> [B, D, 4 T]
        assert features.shape[1:] == (self.dim, num_frames * FEATURES_PER_FRAME)
        return pool(features)

    @abstractmethod
    def features(self, wav: Tensor, sample_rate: int) -> Tensor:
        """``[B, 1, S] -> [B, dim, N]`` at 50 Hz: feature n is centred on (n + 1/2) / 50 s, N = 50 S / sample_rate."""

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode: a teacher does not learn, whatever its parent does."""
        return super().train(mode=False)


def pool(features: Tensor) -> Tensor:
    """50 Hz to 12.5 Hz: ``[B, D, 4 T] -> [B, D, T]``.

    Each frame is the mean of the 8 features around it, so it looks 40 ms ahead of a codec frame's end: the paper found
    a non-causal teacher critical.
    """
    edges = F.pad(features, (FEATURES_PER_FRAME // 2, FEATURES_PER_FRAME // 2), mode="replicate")
    return F.avg_pool1d(edges, 2 * FEATURES_PER_FRAME, stride=FEATURES_PER_FRAME)


def standardized(features: Tensor) -> Tensor:
    """Mean 0 and variance 1 of each channel over the clip: ``[B, D, N] -> [B, D, N]``."""
    # The floor keeps a silent clip at zero instead of blowing up its rounding errors.
    return (features - features.mean(dim=-1, keepdim=True)) / (features.std(dim=-1, keepdim=True) + 1e-2)


def begins_in_speech(batch: Mapping[str, Tensor], sample_rate: int) -> Tensor:
    """Which frames begin before a clip's padding: bool ``[B, T]``; ``batch`` as for `Teacher.lesson`."""
    num_frames = count_frames(batch["wav"], sample_rate)
    starts = torch.arange(num_frames, device=batch["wav"].device) * frame_size(sample_rate)
    return starts < batch["num_samples"][:, None]


def count_frames(wav: Tensor, sample_rate: int) -> int:
    """Number of codec frames in ``[B, 1, S]``.

    Raises:
        ValueError: if it is not whole.
    """
    frame = frame_size(sample_rate)
    if wav.shape[-1] % frame:
        raise ValueError(
            f"a teacher needs whole frames: {wav.shape[-1]} samples at {sample_rate} Hz are "
            f"{wav.shape[-1] / frame:.2f} frames of {frame}; pad the clip to a multiple of {frame}"
        )
    return wav.shape[-1] // frame


def frame_size(sample_rate: int) -> int:
    """Samples of a codec frame."""
    return sample_rate * FEATURES_PER_FRAME // FEATURE_RATE


@register("mfcc-teacher", presets={"nano": {"sample_rate": 24000, "num_mels": 40, "num_cepstra": 13, "max_hz": 8000.0}})
class MFCCTeacher(Teacher):
    """Mel cepstra with their first and second time derivatives: phonetic content without a pretrained model.

    The cosine transform separates the vocal tract (low orders, kept) from pitch (high orders, dropped); removing mean
    and variance over the clip takes away much of the speaker and the room.

    Args:
        sample_rate: of the waveform, in Hz.
        num_mels: mel bands under the cepstra.
        num_cepstra: cepstra kept, counted from order 0 (loudness); the features have three times as many channels.
        max_hz: upper edge of the mel bands.
    """

    basis: Tensor

    def __init__(
        self, sample_rate: int = 24000, num_mels: int = 40, num_cepstra: int = 13, *, max_hz: float = 8000.0
    ) -> None:
        super().__init__(dim=3 * num_cepstra)
        self.sample_rate = sample_rate
        hop = sample_rate // FEATURE_RATE
        self.mel = MelSpectrogram(
            sample_rate,
            n_fft=2 ** math.ceil(math.log2(2 * hop)),
            num_mels=num_mels,
            max_hz=max_hz,
            power=2,
            hop=hop,
            window_length=5 * hop // 4,  # 25 ms
        )
        self.register_buffer("basis", torch.empty(num_cepstra, num_mels), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Compute the cosine basis (again: a module built on the meta device starts without it)."""
        num_cepstra, num_mels = self.basis.shape
        orders = torch.arange(num_cepstra, device=self.basis.device)[:, None]
        centres = torch.arange(num_mels, device=self.basis.device) + 0.5
        self.basis.copy_(math.sqrt(2 / num_mels) * torch.cos(math.pi / num_mels * orders * centres))

    def features(self, wav: Tensor, sample_rate: int) -> Tensor:
        """``[B, 1, S] -> [B, 3 num_cepstra, N]`` at 50 Hz, of mean 0 and variance 1 over each clip.

        Raises:
            ValueError: if the sample rate is not the one it was built for.
        """
        if sample_rate != self.sample_rate:
            raise ValueError(
                f"the waveform has {sample_rate} Hz but this teacher was built for {self.sample_rate} Hz: "
                "set its sample_rate"
            )
        with torch.autocast(wav.device.type, enabled=False):
            log_mel = (self.mel(wav[:, 0]) + 1e-8).log()  # [B, S] -> [B, M, N]
            cepstra = self.basis @ log_mel
            slopes = _slope(cepstra)
            return standardized(torch.cat([cepstra, slopes, _slope(slopes)], dim=1))


def _slope(x: Tensor) -> Tensor:
    """Least-squares slope over 5 frames, edges replicated: ``[B, C, N] -> [B, C, N]``."""
    padded = F.pad(x, (2, 2), mode="replicate")
    frames = x.shape[-1]
    after1, after2 = padded[..., 3 : 3 + frames], padded[..., 4 : 4 + frames]
    before1, before2 = padded[..., 1 : 1 + frames], padded[..., :frames]
    return (after1 - before1 + 2 * (after2 - before2)) / 10
