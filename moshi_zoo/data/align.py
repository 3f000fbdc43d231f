"""Forced alignment: when each word and each phoneme of a known text is said. Works offline, by pocketsphinx (English).

Phonemes are ARPAbet's 39. Aligned recordings can teach a codec what is said (``phoneme-teacher``), be compared in ABX,
and give Moshi's inner monologue its times.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from moshi_zoo.data import arpabet, audio
from moshi_zoo.data.manifest import Recording

_RATE = 16_000  # of the acoustic model
_STEP_S = 0.01
_MARGIN_S = 0.2  # of near-silence around: short clips often begin in the middle of a sound
_ROOM_TONE = 10 / 32768
_SILENCE = ("SIL", "+NSN+", "+SPN+")
_PATIENT = {"beam": 1e-100, "pbeam": 1e-100, "wbeam": 1e-80}  # for voices that the acoustic model finds odd


@dataclass(frozen=True)
class Alignment:
    """What is said when, ``[name, start_s, end_s]`` each.

    Args:
        words: as the text has them.
        phonemes: in ARPAbet, without silence; None: only the words could be found.
    """

    words: list[list[Any]]
    phonemes: list[list[Any]] | None


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
        self._make_patient = partial(Decoder, samprate=_RATE, lm=None, loglevel="FATAL", **_PATIENT)
        self._added: dict[str, str] = {}  # words that the dictionary does not have, and how they are said

    def align(self, path: Path, text: str) -> Alignment:
        """Find when the words of a text are said in a recording.

        Words that the dictionary does not have are taken apart at hyphens, and else pronounced as espeak-ng does, where
        that is installed.

        Args:
            path: mono, or the first channel is taken.
            text: what is said, word for word; punctuation and case do not matter.

        Raises:
            ValueError: if nobody knows how a word is said, or the recording cannot be the text.
        """
        words = [part for raw in text.split() for part in self._known_words(spoken_form(raw))]
        if not words:
            raise ValueError(f"{path}: its text has no words: {text!r}")
        unknown = [word for word in words if not self._can_say(word)]
        if unknown:
            raise ValueError(f"{path}: not in the dictionary: {', '.join(dict.fromkeys(unknown))}")
        pcm, duration = _pcm(path)
        found = self._sound_by_sound(words, pcm, duration) or self._word_by_word(words, pcm, duration)
        if found is None:
            raise ValueError(f"{path}: does not sound like {text!r}")
        return found

    def _sound_by_sound(self, words: list[str], pcm: bytes, duration: float) -> Alignment | None:
        try:
            self._decoder.set_align_text(" ".join(words))
            _pass(self._decoder, pcm)
            self._decoder.set_alignment()  # of the words just found: again, sound by sound
            _pass(self._decoder, pcm)
        except RuntimeError:  # all that pocketsphinx says of a text that cannot be
            return None
        found: list[list[Any]] = []
        phonemes: list[list[Any]] = []
        for word in self._decoder.get_alignment():
            sounds = [_interval(s.name, s.start, s.duration, duration) for s in word if s.name not in _SILENCE]
            if sounds:
                found.append(_interval(_plain(word.name), word.start, word.duration, duration))
                phonemes += sounds
        return Alignment(found, phonemes) if found else None

    def _word_by_word(self, words: list[str], pcm: bytes, duration: float) -> Alignment | None:
        """Without giving up anything early; sounds are then not told apart."""
        decoder = self._patient
        try:
            decoder.set_align_text(" ".join(words))
            _pass(decoder, pcm)
            parts = [part for part in decoder.seg() if part.word[0] not in "<[("]  # pauses and noises
        except (RuntimeError, TypeError):
            return None
        if [_plain(part.word) for part in parts] != words:  # it broke off
            return None
        times = [(_plain(part.word), part.start_frame, part.end_frame - part.start_frame + 1) for part in parts]
        return Alignment([_interval(*time, duration) for time in times], None)

    @cached_property
    def _patient(self) -> Any:
        decoder = self._make_patient()
        for word, sounds in self._added.items():
            decoder.add_word(word, sounds, True)
        return decoder

    def _known_words(self, word: str) -> list[str]:
        """A word, or its parts where only those are known."""
        parts = [part for part in word.split("-") if part]
        return [word] if word and self._decoder.lookup_word(word) else parts

    def _can_say(self, word: str) -> bool:
        if self._decoder.lookup_word(word) is None and (sounds := _pronounced(word)):
            self._added[word] = sounds
            self._decoder.add_word(word, sounds, True)
            if "_patient" in self.__dict__:
                self._patient.add_word(word, sounds, True)
        return self._decoder.lookup_word(word) is not None


def _pass(decoder: Any, pcm: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()


def _pronounced(word: str) -> str | None:
    """How espeak-ng says a word, in ARPAbet; None: it is not installed, or says it in no English sounds."""
    from moshi_zoo.data.espeak import synthesize

    try:
        phonemes = synthesize(word).phonemes if word.isascii() else []
        return " ".join(sound for part in phonemes for sound in arpabet.from_espeak(part.text)) or None
    except ValueError:
        return None


def _plain(word: str) -> str:
    """Without the number of its pronunciation."""
    return word.partition("(")[0]


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


def _interval(name: str, frame: int, num_frames: int, duration: float) -> list[Any]:
    start = frame * _STEP_S - _MARGIN_S
    return [name, *(round(min(max(time, 0.0), duration), 3) for time in (start, start + num_frames * _STEP_S))]
