"""Dialogues with users who read aloud, so that recorded sentences can take their part.

The user reads a phrase, and Moshi says its last word: it has to hear when the phrase is over, and what it ended with.
Recordings are cut at their pauses, so that a few of them give many phrases.
"""

import random
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from moshi_zoo.data import audio
from moshi_zoo.data.align import spoken_form
from moshi_zoo.data.dialogue import Dialogue, Turn
from moshi_zoo.data.dialogue_audio_voices import Talker, of_many
from moshi_zoo.data.dialogue_tasks import Split
from moshi_zoo.data.espeak import Interval, Utterance
from moshi_zoo.data.manifest import Recording, find

FAMILY = "last words"

_PAUSE_S = 0.08  # between words: where a reading may be cut
_WORDS = (2, 10)  # of a phrase
_REPLIES = ("{}.", "{}.", "you said {}.", "i heard {}.", "the last word was {}.")


@dataclass(frozen=True)
class Phrase:
    """Words of a recording between two pauses."""

    recording: Recording
    words: tuple[Interval, ...]

    @property
    def text(self) -> str:
        """What is read."""
        return " ".join(word.text for word in self.words)


class ReadingTalker:
    """Somebody who reads phrases of their recordings.

    Args:
        name: Of the speaker.
        phrases: What can be read, by text.
    """

    def __init__(self, name: str, phrases: dict[str, Phrase]):
        self.name, self.phrases = name, phrases

    def say(self, text: str) -> Utterance:
        """Speech and when each word is said."""
        phrase = self.phrases[text]
        wav, rate = audio.read(phrase.recording.path)
        begin, end = phrase.words[0].start_s, phrase.words[-1].end_s
        words = [Interval(word.text, word.start_s - begin, word.end_s - begin) for word in phrase.words]
        return Utterance(wav.mean(0)[round(begin * rate) : round(end * rate)], rate, words, phonemes=[])


class RecordedReadings:
    """Recordings of people who read aloud.

    Args:
        source: A manifest, or a folder with one; its lines have ``words`` (see `data align`), ``speaker``, and perhaps
            ``split``.

    Raises:
        ValueError: if nothing in it has words with their times.
    """

    def __init__(self, source: str | Path):
        self.source = source
        self._by_split: dict[str, dict[str, list[Phrase]]] = defaultdict(lambda: defaultdict(list))
        for recording in find(source):
            self._by_split[recording.split or "train"][recording.speaker or "unknown"] += _phrases(recording)
        if not any(phrases for speakers in self._by_split.values() for phrases in speakers.values()):
            raise ValueError(
                f"{source}: no recording has words with their times, so none can take the user's part: "
                "add them with `data align`"
            )

    def dialogue(self, split: Split, rng: random.Random) -> tuple[Dialogue, Talker]:
        """One to three phrases of one speaker of a split, each answered with its last word.

        Raises:
            ValueError: if the split has no speaker.
        """
        speakers = {name: phrases for name, phrases in self._by_split[split].items() if phrases}
        if not speakers:
            raise ValueError(f"{self.source} has no reader for the split {split!r}")
        name = rng.choice(sorted(speakers))
        chosen = rng.sample(speakers[name], min(rng.randint(1, 3), len(speakers[name])))
        turns: list[Turn] = []
        for phrase in chosen:
            last = spoken_form(phrase.words[-1].text)
            reply = Turn("moshi", rng.choice(_REPLIES).format(last), expected=last)
            turns += [Turn("user", phrase.text), reply]
        reader = ReadingTalker(name, {phrase.text: phrase for phrase in chosen})
        return Dialogue(FAMILY, tuple(turns)), of_many(reader, split, rng)


def _phrases(recording: Recording) -> list[Phrase]:
    """All that lies between two pauses, and is neither too short nor too long."""
    words = [Interval(str(text), float(start), float(end)) for text, start, end, *_ in recording.words or ()]
    words = [word for word in words if spoken_form(word.text) and word.end_s > word.start_s]
    cuts = [i for i, (a, b) in enumerate(pairwise(words), start=1) if b.start_s - a.end_s >= _PAUSE_S]
    edges = [0, *cuts, len(words)]
    shortest, longest = _WORDS
    return [
        Phrase(recording, tuple(words[begin:end]))
        for begin in edges
        for end in edges
        if shortest <= end - begin <= longest
    ]
