"""A corpus of spoken dialogues: settings, and a number for each dialogue, which always sounds the same."""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from moshi_zoo.data.alignments import mixture
from moshi_zoo.data.augment import MILD, PAPER, Noises, UserAugmentation
from moshi_zoo.data.dialogue import Dialogue
from moshi_zoo.data.dialogue_audio import SAMPLE_RATE, SpokenDialogue, speak
from moshi_zoo.data.dialogue_audio_digits import digit_dialogue
from moshi_zoo.data.dialogue_audio_reading import RecordedReadings
from moshi_zoo.data.dialogue_audio_timing import REPLY_S
from moshi_zoo.data.dialogue_audio_voices import MOSHI, RecordedWords, SyntheticTalker, Talker, synthetic_user
from moshi_zoo.data.dialogue_tasks import DIGITS, Split
from moshi_zoo.data.dialogues import FAMILIES, dialogue, named_families
from moshi_zoo.data.espeak import Engine
from moshi_zoo.data.manifest import find

AUGMENTATIONS: dict[str, UserAugmentation | None] = {"none": None, "mild": MILD, "paper": PAPER}
"""Ways to change the user's channel, by name."""

BLOCK = 32
"""Dialogues of one engine: espeak's sound depends on what it said before, so a new one begins with each block."""

_VERSION = 4  # of the dialogues: change it with anything that changes a sample


@dataclass(frozen=True)
class Corpus:
    """What dialogues to make.

    Args:
        split: Whose exercises and voices.
        seed: Of all draws.
        augmentation: What is done to the user's channel: nothing, the paper's numbers, or milder ones.
        user_recordings: Manifests of recordings that take the user's part, each with its share of the dialogues:
            ``digits.jsonl:0.2,readings.jsonl:0.1``; without a share, of all. Where they hold all ten digits as single
            words, users say digits, else they read phrases. In the other dialogues, espeak is the user.
        digit_share: Of the dialogues whose user is espeak: those in which it says nothing but digits, as recorded
            users do.
        families: What the dialogues are about whose user is espeak and does not only say digits: names, separated by
            commas. None: everything.
        noise: Folder or manifest of noise for the augmentation. None: hiss is made.
        reply_s: Time that Moshi takes to reply, in the mean, in seconds.

    Raises:
        ValueError: if shares make no sense, or there are no dialogues about that.
    """

    split: Split = "train"
    seed: int = 0
    augmentation: Literal["none", "mild", "paper"] = "mild"
    user_recordings: str | None = None
    digit_share: float = 0.0
    families: str | None = None
    noise: str | None = None
    reply_s: float = REPLY_S

    def __post_init__(self) -> None:
        if sum(self.recorded_shares.values()) > 1 + 1e-9:
            raise ValueError(f"shares of user_recordings add up to more than 1: {self.user_recordings}")
        if not 0 <= self.digit_share <= 1:
            raise ValueError(f"digit_share is {self.digit_share}; it must be 0 to 1")
        if self.families:
            named_families(self.families)
        if not 0.1 <= self.reply_s <= 3:
            raise ValueError(f"reply_s is {self.reply_s}; it must be 0.1 to 3 seconds")

    @property
    def recorded_shares(self) -> dict[str, float]:
        """Manifest of recordings -> its share of the dialogues."""
        return mixture(self.user_recordings) if self.user_recordings else {}

    @property
    def chosen_families(self) -> tuple[str, ...]:
        """What espeak's dialogues are about."""
        return named_families(self.families) if self.families else FAMILIES

    @property
    def settings(self) -> dict[str, Any]:
        """All that the dialogues depend on, for JSON."""
        return {"version": _VERSION, **asdict(self)}


def check_same(before: dict[str, Any], now: dict[str, Any], where: str) -> None:
    """Compare the settings of the dialogues that are there with those wanted.

    Raises:
        ValueError: if they differ.
    """
    if before != now:
        changed = ", ".join(f"{name} was {before.get(name)!r}" for name in now if before.get(name) != now[name])
        raise ValueError(f"{where} holds other dialogues ({changed}): make these elsewhere, or remove those")


@dataclass(frozen=True)
class Take:
    """A dialogue of a corpus.

    Args:
        number: Its number.
        written: What is said.
        spoken: How it sounds.
        voices: ``{"moshi": ..., "user": ...}``: who speaks.
        recorded_user: Whether the user's part is played by recordings.
    """

    number: int
    written: Dialogue
    spoken: SpokenDialogue
    voices: dict[str, str]
    recorded_user: bool

    @property
    def about(self) -> dict[str, Any]:
        """What is known about it, for JSON: family, voices, and the turns with their times and right answers."""
        return {
            "duration": round(self.spoken.duration, 4),
            "family": self.written.family,
            "number": self.number,
            "voices": self.voices,
            "recorded_user": self.recorded_user,
            "turns": self.spoken.turns,
        }


class Speaker:
    """Speaks dialogues by number, from a multiple of :data:`BLOCK` on, without a gap.

    Args:
        corpus: What to speak.

    Raises:
        ValueError: if espeak-ng, recordings or noise are missing.
    """

    def __init__(self, corpus: Corpus):
        self.corpus = corpus
        self.begin_block()
        self._recorded = [(_recordings(source), share) for source, share in corpus.recorded_shares.items()]
        self._noises = Noises(_noise_files(corpus.noise, corpus.split) if corpus.noise else [], SAMPLE_RATE)

    def begin_block(self) -> None:
        """Forget what espeak has said."""
        self.engine = Engine()

    def speak(self, number: int) -> Take:
        """The dialogue of a number."""
        corpus = self.corpus
        rng = random.Random(f"{corpus.seed}/audio/{corpus.split}/{number}")
        recordings = self._whose(rng.random())
        written, user = self._with_recorded(recordings, number, rng) if recordings else self._with_espeak(number, rng)
        moshi = SyntheticTalker(self.engine, MOSHI)
        augmentation = AUGMENTATIONS[corpus.augmentation]
        spoken = speak(
            written,
            moshi=moshi,
            user=user,
            augmentation=augmentation,
            noises=self._noises,
            rng=rng,
            reply_s=corpus.reply_s,
        )
        return Take(number, written, spoken, {"moshi": moshi.name, "user": user.name}, recordings is not None)

    def _whose(self, lot: float) -> RecordedWords | RecordedReadings | None:
        for recordings, share in self._recorded:
            if lot < share:
                return recordings
            lot -= share
        return None

    def _with_recorded(
        self, recordings: RecordedWords | RecordedReadings, number: int, rng: random.Random
    ) -> tuple[Dialogue, Talker]:
        if isinstance(recordings, RecordedReadings):
            return recordings.dialogue(self.corpus.split, rng)
        written = digit_dialogue(self.corpus.seed, self.corpus.split, number)
        return written, recordings.talker(self.corpus.split, rng, self.engine.sample_rate)

    def _with_espeak(self, number: int, rng: random.Random) -> tuple[Dialogue, Talker]:
        corpus = self.corpus
        if rng.random() < corpus.digit_share:
            written = digit_dialogue(corpus.seed, corpus.split, number)
        else:
            written = dialogue(corpus.seed, corpus.split, number, families=corpus.chosen_families)
        return written, synthetic_user(self.engine, corpus.split, rng)


def _recordings(source: str) -> RecordedWords | RecordedReadings:
    texts = {recording.text for recording in find(source)}
    return RecordedWords(source, DIGITS) if texts.issuperset(DIGITS) else RecordedReadings(source)


def _noise_files(source: str, split: Split) -> Sequence[Path]:
    """Recordings of noise that are marked for a split, or not marked."""
    files = [r.path for r in find(source) if r.kind != "rir" and r.split in (None, split)]
    if not files:
        raise ValueError(f"{source} has no noise for the split {split!r}: leave the splits in its manifest unmarked")
    return files
