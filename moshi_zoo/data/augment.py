"""What a user's microphone hears: loud or quiet, with noise, with Moshi's own voice from the loudspeaker, in a room.

Only the user's channel is changed (Moshi paper, 4.4): Moshi learns to listen in any conditions, and to sound clean.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from moshi_zoo.data import audio
from moshi_zoo.data.audio import AudioError

Wav = NDArray[np.floating]
"""A waveform [S]."""

Range = tuple[float, float]

_BLOCK = 960
_LOWEST_OCTAVE = 6.0  # 64 Hz: between octaves, a microphone's response is interpolated
_SLOPE_DB = 96.0  # an octave, beyond its end
_NOISE_S = (2.0, 10.0)  # of a noise that is made here
_REVERBERATION_DB = (-15.0, 0.0)  # energy of all reverberation beside that of the direct sound
_UNHEARD, _USUAL_LEVEL = 1e-3, 0.06  # RMS: where the user is silent, noise is as loud as beside usual speech


@dataclass(frozen=True)
class UserAugmentation:
    """How often and how far to go. Levels in dB, times in seconds; the defaults are the paper's.

    Args:
        gain_share: Of the dialogues that get a gain.
        gain_db: It.
        noise_share: Of the dialogues with noise.
        noise_db: Its level relative to the speech.
        quiet_share: How often silence takes the place of a noise.
        quiet_s: Its length.
        room_share: Of the dialogues with echo and reverberation.
        echo_scale: Factor of Moshi's voice in the user's microphone.
        echo_delay_s: It comes so much later.
        reverberation_s: Time after which reverberation is 60 dB down; not in the paper.
        microphone_share: Of the dialogues heard through a microphone with a colour of its own; not in the paper, whose
            users are many enough.
        microphone_db: How far its response is from flat, at most.
        microphone_hz: Where it ends, between a telephone's and none.
    """

    gain_share: float = 0.5
    gain_db: Range = (-24.0, 15.0)
    noise_share: float = 0.3
    noise_db: Range = (-30.0, 6.0)
    quiet_share: float = 0.5
    quiet_s: Range = (0.0, 30.0)
    room_share: float = 0.3
    echo_scale: Range = (0.0, 0.2)
    echo_delay_s: Range = (0.1, 0.5)
    reverberation_s: Range = (0.15, 0.6)
    microphone_share: float = 0.0
    microphone_db: float = 8.0
    microphone_hz: Range = (3400.0, 12000.0)


PAPER = UserAugmentation()
"""Numbers of the paper, for large models."""

MILD = UserAugmentation(
    gain_db=(-6.0, 6.0),
    noise_db=(-40.0, -12.0),
    echo_scale=(0.0, 0.1),
    echo_delay_s=(0.1, 0.3),
    reverberation_s=(0.1, 0.3),
    microphone_share=0.5,
)
"""For small models and codecs, which hear less well."""


class Noises:
    """Noise without end.

    Args:
        files: Recordings of noise. Without any, hiss is made: white, pink, or brown.
        sample_rate: Of the noise.
    """

    def __init__(self, files: Sequence[Path], sample_rate: int):
        self.files, self.sample_rate = files, sample_rate

    def draw(self, rng: random.Random) -> Wav:
        """A stretch of noise [S] with an RMS of 1.

        Raises:
            AudioError: if a file cannot be used, or is silent.
        """
        if not self.files:
            return _with_level(_hiss(rng, round(rng.uniform(*_NOISE_S) * self.sample_rate)))
        path = rng.choice(self.files)
        wav, rate = audio.read(path)
        noise = soxr.resample(wav.mean(0).numpy(), rate, self.sample_rate, quality="HQ")
        if _level(noise) < 1e-5:
            raise AudioError(path, "is silent", "leave it out of the noises")
        return _with_level(noise)


def augmented_user(
    user: Wav, moshi: Wav, sample_rate: int, *, settings: UserAugmentation, noises: Noises, rng: random.Random
) -> Wav:
    """The user's channel as a microphone hears it; times stay as they are.

    Args:
        user: What the user says [S].
        moshi: What Moshi says at the same time [S].
        sample_rate: Of both, in Hz.
        settings: How often and how far to go.
        noises: Where noise comes from.
        rng: Source of the draws.
    """
    heard = user
    if rng.random() < settings.microphone_share:
        end_hz = rng.uniform(*settings.microphone_hz)
        heard = _through_microphone(heard, settings.microphone_db, end_hz, sample_rate, rng)
    if rng.random() < settings.gain_share:
        heard = heard * _gain(rng.uniform(*settings.gain_db))
    if rng.random() < settings.noise_share:
        level = _speech_level(heard) * _gain(rng.uniform(*settings.noise_db))
        heard = heard + level * _covering(len(heard), settings, noises, rng)
    if rng.random() < settings.room_share:
        delay = round(rng.uniform(*settings.echo_delay_s) * sample_rate)
        echo = np.concatenate([np.zeros(delay, np.float32), moshi])[: len(moshi)]
        heard = _reverberated(heard, rng.uniform(*settings.reverberation_s), sample_rate, rng)
        heard = heard + rng.uniform(*settings.echo_scale) * echo
    return heard.astype(np.float32)


def _through_microphone(wav: Wav, most_db: float, end_hz: float, sample_rate: int, rng: random.Random) -> Wav:
    """With a response that goes up and down by octaves, and nothing beyond its end."""
    size = 1 << (len(wav) - 1).bit_length()
    octave = np.log2(np.fft.rfftfreq(size, 1 / sample_rate).clip(min=1.0))
    points = np.arange(_LOWEST_OCTAVE, np.log2(sample_rate), 1.0)
    decibels = np.interp(octave, points, [rng.uniform(-most_db, most_db) for _ in points])
    decibels -= (octave - np.log2(end_hz)).clip(min=0) * _SLOPE_DB
    return np.fft.irfft(np.fft.rfft(wav, size) * 10 ** (decibels / 20), size)[: len(wav)].astype(np.float32)


def room_tone(num_samples: int, level_db: float, rng: random.Random) -> Wav:
    """The hiss [S] of a quiet room, an RMS level in dB below full scale: no recording is digitally silent."""
    white = _normal(rng, num_samples + 1)
    return (white[1:] + white[:-1]) / np.sqrt(2, dtype=np.float32) * np.float32(_gain(level_db))  # darker than white


def _covering(num_samples: int, settings: UserAugmentation, noises: Noises, rng: random.Random) -> Wav:
    """Noises one after the other, some of them silence, until all is covered."""
    blocks, missing = [], num_samples
    while missing > 0:
        if rng.random() < settings.quiet_share:
            block = np.zeros(max(round(rng.uniform(*settings.quiet_s) * noises.sample_rate), 1), np.float32)
        else:
            block = noises.draw(rng)
        blocks.append(block)
        missing -= len(block)
    return np.concatenate(blocks)[:num_samples]


def _reverberated(wav: Wav, seconds: float, sample_rate: int, rng: random.Random) -> Wav:
    """With a room's reverberation behind the direct sound: noise that dies away, 60 dB in so many seconds."""
    times = np.arange(1, round(seconds * sample_rate), dtype=np.float32) / sample_rate
    tail = _normal(rng, len(times)) * 10 ** (-3 * times / seconds)
    tail *= _gain(rng.uniform(*_REVERBERATION_DB)) / np.linalg.norm(tail)
    response = np.concatenate([np.ones(1, np.float32), tail])
    size = 1 << (len(wav) + len(response) - 2).bit_length()
    return np.fft.irfft(np.fft.rfft(wav, size) * np.fft.rfft(response, size), size)[: len(wav)].astype(np.float32)


def _hiss(rng: random.Random, num_samples: int) -> Wav:
    size = 1 << (num_samples - 1).bit_length()  # other sizes may take much longer to transform
    spectrum = np.fft.rfft(_normal(rng, size))
    slope = rng.choice((0.0, 0.5, 1.0))  # white, pink, brown
    return np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 1) ** slope, size)[:num_samples]


def _normal(rng: random.Random, num_samples: int) -> Wav:
    return np.random.default_rng(rng.getrandbits(64)).standard_normal(num_samples, dtype=np.float32)


def _speech_level(wav: Wav) -> float:
    """RMS of the 40 ms blocks within 30 dB of the loudest: pauses do not count."""
    blocks = wav[: len(wav) // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    power = np.square(blocks).mean(1)
    level = float(np.sqrt(power[power >= power.max(initial=0.0) / 1000].mean())) if len(power) else 0.0
    return level if level > _UNHEARD else _USUAL_LEVEL


def _with_level(noise: Wav) -> Wav:
    return (noise / _level(noise)).astype(np.float32)


def _level(wav: Wav) -> float:
    return float(np.sqrt(np.mean(np.square(wav))))


def _gain(decibels: float) -> float:
    return 10 ** (decibels / 20)
