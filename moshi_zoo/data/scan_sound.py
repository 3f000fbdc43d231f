"""What recordings sound like, in numbers: level, noise, clipping, bandwidth, and what two channels have in common."""

import hashlib
import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from moshi_zoo.data import audio

Samples = NDArray[np.float32]

_FRAME_S = 0.02
_FLOOR_DB, _PAUSE_S = -100.0, 0.3  # a shorter pause is part of speech
_LEAST_RISE_DB = 6.0  # of speech above the noise
_FULL, _RUN = 0.5, 3  # clipped: as many samples in a row at the peak, which is not that of a quiet recording
_HEARD_DB = -75.0  # in the spectrum of speech, below its strongest band
_CHUNK_S = 120.0  # what is looked at of a long recording for the figures of its spectrum and its channels
_MOST_LAG_S = 0.5
_QUIETER = 4.0  # in energy: what leaks is that much quieter than where it comes from
_TINY = 1e-12


@dataclass(frozen=True)
class ChannelSound:
    """One channel.

    Args:
        speech_s: Seconds of speech, short pauses within it included.
        level_db: RMS of speech below full scale.
        noise_db: RMS of what is there between speech.
        clipped: Share of samples that are cut off at the top.
        highest_hz: Up to where there is sound.
        digest: Of the samples.
        speech: Frames of 20 ms in which there is speech, bool [T].
    """

    speech_s: float
    level_db: float
    noise_db: float
    clipped: float
    highest_hz: float
    digest: str
    speech: NDArray[np.bool_]

    @property
    def snr_db(self) -> float:
        """How far speech is above the noise."""
        return self.level_db - self.noise_db


@dataclass(frozen=True)
class Sound:
    """A recording.

    Args:
        seconds: Its length.
        sample_rate: In Hz.
        channels: Each of them.
        alike: Correlation of the first two channels; 1: they hold the same. None: there is but one.
        leak: Correlation, at any delay up to half a second, where only one of them should be heard.
    """

    seconds: float
    sample_rate: int
    channels: tuple[ChannelSound, ...]
    alike: float | None = None
    leak: float | None = None

    @property
    def is_conversation(self) -> bool:
        """Whether two channels hold different things."""
        return self.alike is not None and self.alike < 0.95


def listen(path: Path) -> Sound:
    """Measure a recording.

    Raises:
        AudioError: if it cannot be read.
    """
    wav, rate = audio.read(path)
    samples = wav.numpy()
    channels = tuple(_channel(channel, rate) for channel in samples)
    seconds = samples.shape[1] / rate
    if len(channels) < 2:
        return Sound(seconds, rate, channels)
    first, second = (channel[: round(_CHUNK_S * rate)] for channel in samples[:2])
    leak = max(_leak(first, second, channels[0], rate), _leak(second, first, channels[1], rate))
    return Sound(seconds, rate, channels, _correlation(first, second), leak)


def speech_share(channel: ChannelSound, spans: list[tuple[float, float]]) -> float:
    """The share of some stretches, in seconds, in which a channel has speech."""
    frames = [channel.speech[int(start / _FRAME_S) : int(end / _FRAME_S) + 1] for start, end in spans]
    joined = np.concatenate(frames) if frames else np.zeros(0, bool)
    return float(joined.mean()) if len(joined) else 0.0


def _channel(wav: Samples, rate: int) -> ChannelSound:
    size = round(_FRAME_S * rate)
    frames = wav[: max(len(wav) // size, 1) * size]
    frames = np.pad(frames, (0, -len(frames) % size)).reshape(-1, size)
    levels = 10 * np.log10(np.square(frames, dtype=np.float64).mean(1) + 10 ** (_FLOOR_DB / 10))  # [T]
    floor, top = np.quantile(levels, [0.02, 0.95])
    loud = levels > floor + max(0.4 * (top - floor), _LEAST_RISE_DB)
    speech = _bridged(loud, round(_PAUSE_S / _FRAME_S))
    return ChannelSound(
        speech_s=float(speech.sum()) * _FRAME_S,
        level_db=_mean_db(levels[loud]) if loud.any() else float(top),
        noise_db=_mean_db(levels[~speech]) if (~speech).any() else float(floor),
        clipped=_clipped(wav),
        highest_hz=_highest_hz(frames[loud][: round(_CHUNK_S / _FRAME_S)], rate),
        digest=hashlib.sha256(np.ascontiguousarray(wav).tobytes()).hexdigest(),
        speech=speech,
    )


def _mean_db(levels: NDArray[np.float64]) -> float:
    return float(10 * np.log10(np.mean(10 ** (levels / 10))))


def _bridged(loud: NDArray[np.bool_], longest: int) -> NDArray[np.bool_]:
    """With short pauses filled in."""
    speech = loud.copy()
    places = np.flatnonzero(loud)
    for before, after in itertools.pairwise(places):
        if after - before <= longest:
            speech[before:after] = True
    return speech


def _clipped(wav: Samples) -> float:
    peak = float(np.abs(wav).max(initial=0.0))
    if peak < _FULL:
        return 0.0
    at_top = np.abs(wav) > 0.999 * peak
    runs = np.convolve(at_top, np.ones(_RUN), mode="valid") == _RUN
    return float(runs.sum() + (_RUN - 1 if runs.any() else 0)) / len(wav)


def _highest_hz(frames: Samples, rate: int) -> float:
    if not len(frames):
        return 0.0
    window = np.hanning(frames.shape[1]).astype(np.float32)
    power = np.square(np.abs(np.fft.rfft(frames * window))).mean(0)
    there = np.flatnonzero(power > power.max() * 10 ** (_HEARD_DB / 10) + _TINY)
    return float(there[-1] / (len(power) - 1) * rate / 2) if len(there) else 0.0


def _correlation(a: Samples, b: Samples) -> float:
    scale = float(np.sqrt(np.dot(a, a) * np.dot(b, b)))
    return float(abs(np.dot(a, b))) / scale if scale > _TINY else float(np.abs(a).max(initial=0) == np.abs(b).max())


def _leak(source: Samples, other: Samples, speaks: ChannelSound, rate: int) -> float:
    """How much of one channel's speech is found in the other, where the other is quieter."""
    size = round(_FRAME_S * rate)
    energies = [np.square(x[: len(x) // size * size].reshape(-1, size)).mean(1) for x in (source, other)]
    alone = speaks.speech[: len(energies[0])] & (energies[0] > _QUIETER * energies[1])
    mask = np.repeat(alone, size)
    a, b = source[: len(mask)] * mask, other[: len(mask)] * mask
    scale = float(np.sqrt(np.dot(a, a) * np.dot(b, b)))
    if not alone.any() or scale < _TINY:
        return 0.0
    length = 1 << (2 * len(a) - 1).bit_length()
    products = np.fft.irfft(np.fft.rfft(b, length) * np.conj(np.fft.rfft(a, length)), length)
    return float(np.abs(products[: round(_MOST_LAG_S * rate)]).max()) / scale
