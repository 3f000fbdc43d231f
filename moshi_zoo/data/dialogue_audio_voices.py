"""Who speaks in synthetic dialogues: Moshi with one voice, users with many, or with the voices of recordings."""

import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import soxr
import torch

from moshi_zoo.data import audio
from moshi_zoo.data.align import spoken_form
from moshi_zoo.data.dialogue_tasks import Split
from moshi_zoo.data.espeak import Engine, Interval, Utterance, Voice
from moshi_zoo.data.manifest import Recording, find
from moshi_zoo.data.manner import Manner
from moshi_zoo.data.synthetic import TRAIN_SPEAKERS, VALID_SPEAKERS

MOSHI = Voice("en-us", "f2", rate=165, pitch=50, pitch_range=50)
"""Moshi's voice, always the same."""

USERS: dict[Split, tuple[str, ...]] = {
    "train": tuple(speaker for speaker in TRAIN_SPEAKERS if speaker != MOSHI.name),
    "valid": VALID_SPEAKERS[::2],
    "test": VALID_SPEAKERS[1::2],
}
"""The users' voices; those of a split are heard in no other."""

_AS_THEY_ARE_SHARE = 0.4  # of synthetic users in training; the others have a manner drawn for them
_WORD_GAP_S = (0.06, 0.2)  # between recorded words: shorter than any gap between turns


class Talker(Protocol):
    """Someone who says what is written."""

    name: str

    def say(self, text: str) -> Utterance:
        """Speech and when each word is said."""
        ...


class SyntheticTalker:
    """A voice of espeak-ng.

    Args:
        engine: That speaks.
        voice: With this voice.
    """

    def __init__(self, engine: Engine, voice: Voice):
        self.engine, self.voice, self.name = engine, voice, voice.name

    def say(self, text: str) -> Utterance:
        """See :class:`Talker`."""
        return self.engine.synthesize(text, self.voice)


class Mannered:
    """Someone who speaks in a manner that is not their own.

    Args:
        talker: Speaks.
        manner: Is changed to this.
    """

    def __init__(self, talker: Talker, manner: Manner):
        self.talker, self.manner, self.name = talker, manner, talker.name

    def say(self, text: str) -> Utterance:
        """See :class:`Talker`."""
        said, tempo = self.talker.say(text), self.manner.tempo
        words = [Interval(word.text, word.start_s / tempo, word.end_s / tempo) for word in said.words]
        wav = torch.from_numpy(self.manner(said.wav.numpy(), said.sample_rate))
        return Utterance(wav, said.sample_rate, words, phonemes=[])


class RecordedTalker:
    """Somebody's recorded words, one after the other; each time another take of a word.

    Args:
        name: Of the speaker.
        takes: Word -> recordings of it.
        rng: Chooses the takes and the pauses between words.
        sample_rate: Of the speech.
    """

    def __init__(self, name: str, takes: dict[str, list[Recording]], rng: random.Random, sample_rate: int):
        self.name, self.takes, self.rng, self.sample_rate = name, takes, rng, sample_rate

    def say(self, text: str) -> Utterance:
        """See :class:`Talker`.

        Raises:
            ValueError: if a word is not recorded.
        """
        blocks, words, place = [], [], 0
        for word in text.split():
            takes = self.takes.get(spoken_form(word))
            if not takes:
                raise ValueError(f"{self.name} has not recorded {word!r}, only {', '.join(sorted(self.takes))}")
            if blocks:
                blocks.append(np.zeros(round(self.rng.uniform(*_WORD_GAP_S) * self.sample_rate), np.float32))
                place += len(blocks[-1])
            clip = self._clip(self.rng.choice(takes))
            words.append(Interval(word, place / self.sample_rate, (place + len(clip)) / self.sample_rate))
            blocks.append(clip)
            place += len(clip)
        return Utterance(torch.from_numpy(np.concatenate(blocks)), self.sample_rate, words, phonemes=[])

    def _clip(self, recording: Recording) -> np.ndarray:
        """The word alone, at the rate and level of a whole turn."""
        wav, rate = audio.read(recording.path)
        clip = wav.mean(0).numpy()
        if recording.words:
            first, last = recording.words[0], recording.words[-1]
            clip = clip[round(first[1] * rate) : round(last[2] * rate)]
        clip = soxr.resample(clip, rate, self.sample_rate, quality="HQ")
        return (clip / max(float(np.sqrt(np.mean(clip**2))), 1e-5) * 0.1).astype(np.float32)


class RecordedWords:
    """Single recorded words that users' turns are made of.

    Args:
        source: A manifest, or a folder with one; its lines have ``text`` (one word), ``speaker``, perhaps ``split``.
        words: The words needed; only speakers who have them all serve.

    Raises:
        ValueError: if no speaker has them all.
    """

    def __init__(self, source: str | Path, words: Sequence[str]):
        found: dict[tuple[str, str], dict[str, list[Recording]]] = defaultdict(lambda: defaultdict(list))
        for recording in find(source):
            word = spoken_form(recording.text or "")
            if word in words:
                found[recording.split or "train", recording.speaker or "unknown"][word].append(recording)
        self._by_split: dict[str, dict[str, dict[str, list[Recording]]]] = defaultdict(dict)
        for (split, speaker), takes in found.items():
            if len(takes) == len(words):
                self._by_split[split][speaker] = takes
        if not self._by_split:
            raise ValueError(
                f"{source}: no speaker has recorded all of {', '.join(words)}; a line of the manifest looks like "
                '{"path": "one.wav", "text": "one", "speaker": "anna", "split": "train"}'
            )
        self.source = source

    def talker(self, split: Split, rng: random.Random, sample_rate: int) -> Talker:
        """One of the speakers of a split.

        Raises:
            ValueError: if it has none.
        """
        speakers = self._by_split.get(split)
        if not speakers:
            known = ", ".join(sorted(self._by_split))
            raise ValueError(f"{self.source} has no speaker for the split {split!r}, only for {known}")
        name = rng.choice(sorted(speakers))
        return of_many(RecordedTalker(name, speakers[name], rng, sample_rate), split, rng)


def of_many(talker: Talker, split: Split, rng: random.Random) -> Talker:
    """In training, somebody else's manner: talkers are few, and there are to be more voices than that."""
    return Mannered(talker, Manner.draw(rng)) if split == "train" else talker


def synthetic_user(engine: Engine, split: Split, rng: random.Random) -> Talker:
    """A user of a split: a voice, and how it talks today."""
    language, _, variant = rng.choice(USERS[split]).partition("+")
    rate, pitch, pitch_range = rng.randint(140, 190), rng.randint(35, 65), rng.randint(40, 70)
    talker = SyntheticTalker(engine, Voice(language, variant, rate, pitch, pitch_range))
    return talker if rng.random() < _AS_THEY_ARE_SHARE else of_many(talker, split, rng)
