"""Forced alignment: when each word and each phoneme of a known text is said. Works offline, by pocketsphinx (English).

Phonemes are ARPAbet's 39. Aligned recordings can teach a codec what is said (``phoneme-teacher``), be compared in ABX,
and give Moshi's inner monologue its times.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from moshi_zoo.data import audio
from moshi_zoo.data.manifest import Recording

_RATE = 16_000  # of the acoustic model
_STEP_S = 0.01
_MARGIN_S = 0.2  # of near-silence around: short clips often begin in the middle of a sound
_ROOM_TONE = 10 / 32768
_SILENCE = ("SIL", "+NSN+", "+SPN+")


@dataclass(frozen=True)
class Alignment:
    """What is said when, ``[name, start_s, end_s]`` each.

    Args:
        words: as the text has them.
        phonemes: in ARPAbet, without silence.
    """

    words: list[list[Any]]
    phonemes: list[list[Any]]


class Aligner:
    """Aligns one recording after the other.

    Raises:
        ValueError: if pocketsphinx is not installed.
    """

    def __init__(self) -> None:
        try:
            from pocketsphinx import Decoder
        except ImportError as error:
            raise ValueError("alignment needs pocketsphinx: install moshi_zoo[align]") from error
        self._decoder = Decoder(samprate=_RATE, lm=None, loglevel="FATAL")

    def align(self, path: Path, text: str) -> Alignment:
        """Find when the words of a text are said in a recording.

        Args:
            path: mono, or the first channel is taken.
            text: what is said, word for word; punctuation and case do not matter.

        Raises:
            ValueError: if a word is not in the dictionary, or the recording cannot be the text.
        """
        words = [word for raw in text.split() if (word := spoken_form(raw))]
        if not words:
            raise ValueError(f"{path}: its text has no words: {text!r}")
        unknown = [word for word in words if self._decoder.lookup_word(word) is None]
        if unknown:
            raise ValueError(f"{path}: not in the dictionary: {', '.join(dict.fromkeys(unknown))}")
        pcm, duration = _pcm(path)
        self._decoder.set_align_text(" ".join(words))
        try:
            self._pass(pcm)
            self._decoder.set_alignment()  # of the words just found: again, sound by sound
            self._pass(pcm)
        except RuntimeError as error:  # all that pocketsphinx says of a text that cannot be
            raise ValueError(f"{path}: does not sound like {text!r}") from error
        found: list[list[Any]] = []
        phonemes: list[list[Any]] = []
        for word in self._decoder.get_alignment():
            sounds = [_interval(sound, duration) for sound in word if sound.name not in _SILENCE]
            if sounds:
                found.append([word.name.partition("(")[0], *_interval(word, duration)[1:]])
                phonemes += sounds
        if not found:
            raise ValueError(f"{path}: does not sound like {text!r}")
        return Alignment(found, phonemes)

    def _pass(self, pcm: bytes) -> None:
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, full_utt=True)
        self._decoder.end_utt()


def spoken_form(word: str) -> str:
    """A word as dictionaries have it: lower case, apostrophes and hyphens inside kept, other marks dropped."""
    return "".join(c for c in word.lower().replace("\u2019", "'") if c.isalnum() or c in "'-").strip("'-")


def aligned(recordings: Iterable[Recording]) -> Iterator[Recording | ValueError]:
    """Recordings with words and phonemes in place of what they had, or why one could not be aligned.

    Args:
        recordings: with their text.
    """
    aligner = Aligner()
    for recording in recordings:
        if not recording.text:
            yield ValueError(f"{recording.path}: its text is not known")
            continue
        try:
            alignment = aligner.align(recording.path, recording.text)
        except ValueError as error:
            yield error
            continue
        yield replace(recording, words=alignment.words, phonemes=alignment.phonemes)


def _pcm(path: Path) -> tuple[bytes, float]:
    """A recording for the decoder, and how long it is."""
    clip, rate = audio.read(path)
    mono = soxr.resample(clip[0].numpy(), rate, _RATE)
    margin = np.random.default_rng(0).standard_normal((2, round(_MARGIN_S * _RATE))).astype(np.float32) * _ROOM_TONE
    samples = np.concatenate([margin[0], mono, margin[1]])
    return (samples.clip(-1, 1) * 32767).astype("<i2").tobytes(), clip.shape[1] / rate


def _interval(sound: Any, duration: float) -> list[Any]:
    start = sound.start * _STEP_S - _MARGIN_S
    end = start + sound.duration * _STEP_S
    return [sound.name, *(round(min(max(time, 0.0), duration), 3) for time in (start, end))]
