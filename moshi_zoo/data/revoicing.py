"""Speech in another voice, from a few minutes of that voice: its pitch and its timbre on what somebody else says.

Voice conversion of the classical kind, which needs no sentence that both have said: speech is raised or lowered to the
other's pitch, and a filter that changes from frame to frame gives its spectral envelopes the mean and the spread that
the other's have. Words and their times stay: a model that learns from it learns a voice, and unlearns nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from moshi_zoo.data.pitch import pitch_hz, raised
from moshi_zoo.spectrogram import mel_filterbank

_WINDOW_S, _HOP_S = 0.0427, 0.01
_NUM_MELS, _NUM_CEPSTRA, _MIN_HZ, _MAX_HZ = 40, 24, 60.0, 11_000.0
_PAUSE_DB = -38.0  # below the loudest frames: what is quieter is a pause, and stays as it is
_ROUNDS = 3  # a filter does not quite reach what is asked of it: ask for more where it falls short
_SMOOTH = 5  # frames over which the filter is averaged
_MOST_DB = 30.0  # of the filter
_NOISY_HZ = 4000.0  # above, a voice is noise, which has no pitch
_EMPTY = 1e-7  # power of a band


@dataclass(frozen=True)
class _Timbre:
    """Of the envelopes of a voice, in cepstra without the level.

    Args:
        mean: [C].
        deviation: [C].
        pause: log power below which nobody speaks.
    """

    mean: Tensor
    deviation: Tensor
    pause: float


class Revoicing:
    """From one voice to another.

    Args:
        source: recordings [S] of the voice that speaks.
        target: recordings [S] of the one to speak with.
        sample_rate: of both, in Hz.

    Raises:
        ValueError: if one of them is silent.
    """

    def __init__(self, source: Sequence[Tensor], target: Sequence[Tensor], sample_rate: int):
        self.sample_rate = sample_rate
        own_hz = _pitch_hz(source, sample_rate, "the voice that speaks")
        self.raise_by = _pitch_hz(target, sample_rate, "the voice to speak with") / own_hz
        self.size, self.hop = 2 ** round(math.log2(_WINDOW_S * sample_rate)), round(_HOP_S * sample_rate)
        self._first_noisy = round(_NOISY_HZ * self.size / sample_rate)  # bin
        self._window = torch.hann_window(self.size)
        bands = mel_filterbank(self.size // 2 + 1, _NUM_MELS, sample_rate, _MIN_HZ, min(_MAX_HZ, sample_rate / 2))
        self._bands = bands  # [F, M]
        self._between_bands = bands / bands.sum(1, keepdim=True).clamp(min=1e-6)  # [F, M]
        order = torch.arange(1, _NUM_CEPSTRA + 1)[:, None]
        cosines = (math.pi * order * (torch.arange(_NUM_MELS) + 0.5) / _NUM_MELS).cos()
        self._cosines = cosines * math.sqrt(2 / _NUM_MELS)  # [C, M], orthonormal
        self._before, self._after = self._timbre(source), self._timbre(target)
        wanted = self._after
        for _ in range(_ROUNDS):
            found = self._timbre([self(wav) for wav in source])
            self._after = replace(
                self._after,
                mean=self._after.mean + wanted.mean - found.mean,
                deviation=self._after.deviation * wanted.deviation / found.deviation,
            )

    def __call__(self, wav: Tensor) -> Tensor:
        """What the one says [S], as the other would say it [S]."""
        own = self._spectrum(wav)  # [F, T]
        logs = self._logs(own)
        cepstra = logs @ self._cosines.T  # [T, C]
        spoken = (logs.logsumexp(1) > self._before.pause).float()[:, None]  # [T, 1]
        wanted = (cepstra - self._before.mean) / self._before.deviation * self._after.deviation + self._after.mean
        spectrum = self._spectrum(raised(wav, self.raise_by, self.sample_rate))
        spectrum[self._first_noisy :] = own[self._first_noisy :]
        gain = _smooth((wanted - self._logs(spectrum) @ self._cosines.T) @ self._cosines * spoken)  # [T, M], log power
        most = _MOST_DB / 10 * math.log(10)
        filters = (gain.clamp(-most, most) / 2 @ self._between_bands.T).exp().T  # [F, T]
        return torch.istft(spectrum * filters, self.size, self.hop, window=self._window, length=len(wav))

    def _timbre(self, wavs: Sequence[Tensor]) -> _Timbre:
        logs = torch.cat([self._logs(self._spectrum(wav)) for wav in wavs])
        power = logs.logsumexp(1)
        pause = float(power.quantile(0.95)) + _PAUSE_DB / 10 * math.log(10)
        cepstra = logs[power > pause] @ self._cosines.T
        return _Timbre(cepstra.mean(0), cepstra.std(0).clamp(min=1e-3), pause)

    def _spectrum(self, wav: Tensor) -> Tensor:
        return torch.stft(wav, self.size, self.hop, window=self._window, return_complex=True)

    def _logs(self, spectrum: Tensor) -> Tensor:
        """[F, T] -> log power of bands, [T, M]."""
        return (spectrum.abs().square().T @ self._bands).clamp(min=_EMPTY).log()


def _pitch_hz(wavs: Sequence[Tensor], sample_rate: int, whose: str) -> float:
    try:
        return pitch_hz(wavs, sample_rate)
    except ValueError as error:
        raise ValueError(f"{whose}: {error}") from error


def _smooth(x: Tensor) -> Tensor:
    """[T, M], averaged over time."""
    return torch.nn.functional.avg_pool1d(x.T[None], _SMOOTH, 1, _SMOOTH // 2, count_include_pad=False)[0].T
