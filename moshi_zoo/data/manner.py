"""Recorded speech as somebody else might have said it: higher or lower, from a longer throat, faster or slower.

A handful of speakers is learnt by heart; drawn anew for each dialogue, their manners make more people of them.
"""

import random
from dataclasses import dataclass

import numpy as np
import soxr
import torch
from numpy.typing import NDArray

from moshi_zoo.data.pitch import stretched

_THROATS = (0.85, 1.18)  # between a child's and a large man's there is 1.5; recorded people are in the middle
_PITCHES = (0.85, 1.2)  # beside what the throat has it be
_TEMPOS = (0.8, 1.35)
_FRAME_S, _HOP_S = 0.032, 0.008
_ENVELOPE_S = 0.0015  # ripples of the spectrum wider than that are resonances; narrower ones are the pitch
_MOST = 2.3  # of the filter, in nats: 20 dB
_EMPTY = 1e-6


@dataclass(frozen=True)
class Manner:
    """How somebody speaks beside how they were recorded; 1 is as recorded.

    Args:
        pitch: How much higher.
        throat: How much higher the resonances are, which make the vowels.
        tempo: How much faster.
    """

    pitch: float = 1.0
    throat: float = 1.0
    tempo: float = 1.0

    @classmethod
    def draw(cls, rng: random.Random) -> "Manner":
        """Somebody else's."""
        throat = rng.uniform(*_THROATS)
        return cls(throat * rng.uniform(*_PITCHES), throat, rng.uniform(*_TEMPOS))

    def __call__(self, wav: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
        """Speech [S] in this manner, [S / tempo]."""
        higher = soxr.resample(wav, sample_rate * self.pitch, sample_rate, quality="HQ")
        resounding = _resounding(higher, self.throat / self.pitch, sample_rate)
        return stretched(resounding, self.pitch / self.tempo, sample_rate)


def _resounding(wav: NDArray[np.float32], factor: float, sample_rate: int) -> NDArray[np.float32]:
    """Speech [S] with higher resonances and the same pitch: the spectrum's envelope is stretched, frame by frame."""
    size, hop = round(_FRAME_S * sample_rate / 2) * 2, round(_HOP_S * sample_rate)
    window = torch.hann_window(size)
    padded = torch.from_numpy(np.pad(wav, (size, size)))
    spectrum = torch.stft(padded, size, hop, window=window, return_complex=True)  # [F, T]
    cepstrum = torch.fft.irfft((spectrum.abs() + _EMPTY).log(), dim=0)
    order = torch.arange(len(cepstrum))
    cepstrum[torch.minimum(order, len(order) - order) > _ENVELOPE_S * sample_rate] = 0
    envelope = torch.fft.rfft(cepstrum, dim=0).real  # [F, T]
    bins = torch.arange(len(envelope)) / factor
    below = bins.long().clamp(max=len(envelope) - 2)
    part = (bins - below).clamp(max=1)[:, None]
    gain = envelope[below] * (1 - part) + envelope[below + 1] * part - envelope
    shaped = torch.istft(spectrum * gain.clamp(-_MOST, _MOST).exp(), size, hop, window=window, length=len(padded))
    return shaped[size:-size].numpy()
