"""Whose voice is it? A speaker embedding of the classical kind, learnt in seconds from a few dozen speakers.

Long-term statistics of cepstra and pitch, projected so that recordings of one person come together and persons come
apart (linear discriminant analysis). It needs no download, no training run has seen it, and it may be told which
distortions do not count: of each learnt recording there can be several versions, such as itself through a codec. Its
cosines cannot be compared with those of published encoders (WavLM-TDNN, ECAPA); read them beside their floor and
ceiling.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from moshi_zoo.spectrogram import MelSpectrogram

SAMPLE_RATE = 16_000
"""Of what is compared, in Hz."""

SECONDS = 4.0
"""Of speech that one embedding stands for."""

_NUM_MELS, _NUM_CEPSTRA, _MIN_HZ, _MAX_HZ = 40, 20, 80.0, 7600.0
_WINDOW, _HOP = 512, 160
_LEVEL = 0.1  # RMS: how loud somebody was recorded says nothing of who it is
_QUIETEST_DB = -35.0  # frames further below the loudest ones are pauses
_PITCH_HZ = (70.0, 350.0)
_VOICED = 0.45  # least autocorrelation at the pitch's lag
_SHRINKAGE = 0.1  # of covariances within speakers, towards their diagonal
_LEAST_SPEAKERS = 8


@dataclass(frozen=True)
class Voiceprint:
    """The learnt projection.

    Args:
        mean: of the statistics over speakers, [D].
        projection: [D, d].
        num_speakers: learnt from.
    """

    mean: Tensor
    projection: Tensor
    num_speakers: int

    def __call__(self, wav: Tensor) -> Tensor:
        """Speech [S] at :data:`SAMPLE_RATE` -> a unit vector [d]; its cosine with another is their similarity."""
        return self.of(statistics(wav))

    def of(self, statistics: Tensor) -> Tensor:
        """The same from the :func:`statistics` of speech, [D]."""
        return torch.nn.functional.normalize((statistics - self.mean) @ self.projection, dim=0)


def learn(examples: Sequence[Tensor], speakers: Sequence[str]) -> Voiceprint:
    """Learn which directions tell speakers apart.

    Args:
        examples: statistics [D] of stretches of speech, several of each speaker.
        speakers: whose each is.

    Raises:
        ValueError: if there are too few speakers.
    """
    names = sorted(set(speakers))
    if len(names) < _LEAST_SPEAKERS:
        raise ValueError(f"{len(names)} speakers are too few to learn what tells people apart: give {_LEAST_SPEAKERS}")
    x = torch.stack(list(examples)).double()  # [N, D]
    owner = torch.tensor([names.index(speaker) for speaker in speakers])
    means = torch.stack([x[owner == i].mean(0) for i in range(len(names))])  # [speakers, D]
    mean, within = means.mean(0), (x - means[owner]).T @ (x - means[owner]) / max(len(x) - len(names), 1)
    within = (1 - _SHRINKAGE) * within + _SHRINKAGE * within.diagonal().diag()
    values, vectors = torch.linalg.eigh(within)
    whitening = vectors / values.clamp(min=1e-9).sqrt()  # [D, D]
    spread = (means - mean) @ whitening
    between, directions = torch.linalg.eigh(spread.T @ spread / (len(names) - 1))
    kept = min(len(names) - 1, int((between > 1).sum()))  # directions in which persons differ more than moments do
    projection = whitening @ directions[:, -kept:] * (1 - 1 / between[-kept:]).sqrt()
    return Voiceprint(mean.float(), projection.float(), len(names))


def statistics(wav: Tensor) -> Tensor:
    """Speech [S] at :data:`SAMPLE_RATE` -> [D]: means and deviations of cepstra, their movement, and pitch.

    Raises:
        ValueError: if there is next to nothing to hear.
    """
    wav = wav * (_LEVEL / wav.square().mean().sqrt().clamp(min=1e-6))
    logs = _log_mels(wav)
    if logs.shape[1] < 2 * _NUM_CEPSTRA:
        raise ValueError(f"{len(wav) / SAMPLE_RATE:.2f} s hold too little speech to tell whose it is")
    order = torch.arange(1, _NUM_CEPSTRA + 1)[:, None]
    cepstra = (math.pi * order * (torch.arange(_NUM_MELS) + 0.5) / _NUM_MELS).cos() @ logs  # [20, T]
    movement = cepstra[:, 2:] - cepstra[:, :-2]
    return torch.cat([cepstra.mean(1), cepstra.std(1).log(), movement.std(1).log(), _pitch(wav)])


def stretches(wav: Tensor) -> list[Tensor]:
    """Speech without its long pauses, cut into pieces of :data:`SECONDS`; what is shorter than half of one is left out.

    Args:
        wav: [S] at :data:`SAMPLE_RATE`.
    """
    frame = SAMPLE_RATE // 20
    frames = wav[: len(wav) // frame * frame].view(-1, frame)  # of 50 ms
    if not len(frames):
        return []
    energy = frames.square().mean(1)
    loud = energy > energy.quantile(0.95) * 10 ** (_QUIETEST_DB / 10)
    near = torch.nn.functional.max_pool1d(loud[None].float(), 5, stride=1, padding=2)[0] > 0
    speech, size = frames[near].flatten(), round(SECONDS * SAMPLE_RATE)
    return [part for part in speech.split(size) if len(part) >= size // 2]


def _log_mels(wav: Tensor) -> Tensor:
    """[S] -> [M, T] of the frames that are not pauses."""
    if len(wav) < _WINDOW:
        return wav.new_zeros(_NUM_MELS, 0)
    mel = MelSpectrogram(SAMPLE_RATE, _WINDOW, _NUM_MELS, min_hz=_MIN_HZ, max_hz=_MAX_HZ, power=2, hop=_HOP)
    bands = mel(wav).clamp(min=1e-9)
    energy = bands.sum(0)
    return bands[:, energy > energy.quantile(0.95) * 10 ** (_QUIETEST_DB / 10)].log()


def _pitch(wav: Tensor) -> Tensor:
    """Middle and spread of the pitch in octaves, [2], by autocorrelation of frames of 40 ms."""
    size = SAMPLE_RATE // 25
    frames = wav.unfold(0, size, _HOP)
    frames = frames - frames.mean(1, keepdim=True)
    spectra = torch.fft.rfft(frames, 2 * size)
    correlation = torch.fft.irfft(spectra.abs().square())[:, :size] / torch.arange(size, 0, -1)
    correlation = correlation / correlation[:, :1].clamp(min=1e-9)
    first, last = (round(SAMPLE_RATE / hz) for hz in reversed(_PITCH_HZ))
    value, lag = correlation[:, first:last].max(1)
    energy = frames.square().mean(1)
    voiced = (value > _VOICED) & (energy > energy.quantile(0.95) * 10 ** (_QUIETEST_DB / 10))
    if int(voiced.sum()) < 2:
        return torch.tensor([math.log2(150), 0.3])
    octaves = (SAMPLE_RATE / (first + lag[voiced])).log2()
    low, middle, high = octaves.quantile(torch.tensor([0.2, 0.5, 0.8]))
    return torch.stack([middle, high - low])
