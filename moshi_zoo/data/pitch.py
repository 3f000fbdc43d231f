"""How high a voice is, and speech made higher or lower without making it faster."""

from collections.abc import Sequence

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

_LOWEST_HZ, _HIGHEST_HZ = 70.0, 400.0
_FRAME_S, _HOP_S = 0.04, 0.02
_VOICED = 0.5  # least autocorrelation at the pitch's lag
_LONGEST = 0.9  # weight of the longest lag: two periods are as much alike as one, which is meant
_QUIETEST_DB = -30.0  # frames further below the loudest ones are not looked at
_PIECE_S, _SEEK_S = 0.03, 0.008  # of speech moved as a whole; how far it may go to fit the one before
_UNHEARD = 0.02  # a change of pitch by less is none


def pitch_hz(wavs: Sequence[Tensor], sample_rate: int) -> float:
    """The middle of a voice's pitch, by autocorrelation.

    Args:
        wavs: recordings [S].
        sample_rate: in Hz.

    Raises:
        ValueError: if nothing in them has a pitch.
    """
    found = torch.cat([_periods(wav, sample_rate) for wav in wavs])
    if not len(found):
        raise ValueError("no voice is to be heard in these recordings")
    return sample_rate / float(found.median())


def raised(wav: Tensor, factor: float, sample_rate: int) -> Tensor:
    """Speech [S] with another pitch: stretched in time, then played so much faster.

    The resonances of the throat move with the pitch.

    Args:
        wav: [S].
        factor: how much higher.
        sample_rate: in Hz.
    """
    if abs(factor - 1) < _UNHEARD:
        return wav
    longer = stretched(wav.numpy(), factor, sample_rate)
    higher = soxr.resample(longer, sample_rate * factor, sample_rate)[: len(wav)]
    return torch.from_numpy(np.pad(higher, (0, len(wav) - len(higher))).astype(np.float32))


def _periods(wav: Tensor, sample_rate: int) -> Tensor:
    """Samples between two pulses of the voice, int64 [voiced frames]."""
    size, hop = round(_FRAME_S * sample_rate), round(_HOP_S * sample_rate)
    if len(wav) < size:
        return torch.empty(0, dtype=torch.int64)
    frames = wav.unfold(0, size, hop)  # [T, size]
    frames = frames - frames.mean(1, keepdim=True)
    spectra = torch.fft.rfft(frames, 2 * size)
    correlation = torch.fft.irfft(spectra.abs().square())[:, :size] / torch.arange(size, 0, -1)
    correlation = correlation / correlation[:, :1].clamp(min=1e-9)
    first, last = round(sample_rate / _HIGHEST_HZ), round(sample_rate / _LOWEST_HZ)
    value, lag = (correlation[:, first:last] * torch.linspace(1, _LONGEST, last - first)).max(1)
    energy = frames.square().mean(1)
    return first + lag[(value > _VOICED) & (energy > energy.max() * 10 ** (_QUIETEST_DB / 10))]


def stretched(wav: NDArray[np.float32], factor: float, sample_rate: int) -> NDArray[np.float32]:
    """Longer speech of the same pitch: pieces that overlap by half, each where it goes on best from the one before
    (WSOLA, Verhelst and Roelands 1993).

    Args:
        wav: [S].
        factor: how much longer.
        sample_rate: in Hz.
    """
    half = round(_PIECE_S * min(factor, 1) * sample_rate / 2)  # what is left out in between stays short
    seek = round(_SEEK_S * sample_rate)
    window = np.hanning(2 * half + 1)[:-1].astype(np.float32)
    length = round(len(wav) * factor)
    num_pieces = -(-length // half)
    source = np.pad(wav, (seek, 4 * half + 2 * seek))
    out = np.zeros((num_pieces + 1) * half, np.float32)
    place = seek
    for i in range(num_pieces):
        if i:
            wanted = source[place + half : place + 2 * half]
            nearby = source[round(i * half / factor) :][: half + 2 * seek]
            place = round(i * half / factor) + int(np.argmax(np.correlate(nearby, wanted)))
        out[i * half : (i + 2) * half] += source[place : place + 2 * half] * window
    return out[:length]
