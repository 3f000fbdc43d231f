"""A folder of spoken dialogues in moshi-finetune's format, made one by one: it may stop and go on at any time."""

import json
import os
import random
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import Progress

from moshi_zoo.data import audio
from moshi_zoo.data.alignments import sidecar, write_whole, write_words
from moshi_zoo.data.augment import MILD, PAPER, Noises, UserAugmentation
from moshi_zoo.data.dialogue import Dialogue
from moshi_zoo.data.dialogue_audio import SAMPLE_RATE, SpokenDialogue, speak
from moshi_zoo.data.dialogue_audio_digits import digit_dialogue
from moshi_zoo.data.dialogue_audio_voices import MOSHI, RecordedWords, SyntheticTalker, synthetic_user
from moshi_zoo.data.dialogue_tasks import DIGITS, Split
from moshi_zoo.data.dialogues import dialogue
from moshi_zoo.data.espeak import Engine
from moshi_zoo.data.manifest import find

AUGMENTATIONS: dict[str, UserAugmentation | None] = {"none": None, "mild": MILD, "paper": PAPER}
"""Ways to change the user's channel, by name."""

_VERSION = 1  # of this file's output: change it with anything that changes a sample
_BLOCK = 32  # dialogues of one engine: espeak's sound depends on what it said before, and each engine costs memory
_SETTINGS = ".settings.json"
_MANIFEST = "manifest.jsonl"


@dataclass(frozen=True)
class Corpus:
    """What dialogues to make.

    Args:
        split: Whose exercises and voices.
        seed: Of all draws.
        augmentation: What is done to the user's channel: nothing, the paper's numbers, or milder ones.
        user_recordings: Manifest of single recorded digits that take the user's part. None: espeak does.
        noise: Folder or manifest of noise for the augmentation. None: hiss is made.
    """

    split: Split = "train"
    seed: int = 0
    augmentation: Literal["none", "mild", "paper"] = "mild"
    user_recordings: str | None = None
    noise: str | None = None


@dataclass(frozen=True)
class Amount:
    """How much there is in a folder."""

    dialogues: int
    seconds: float


def make(folder: Path, corpus: Corpus, *, dialogues: int | None = None, minutes: float | None = None) -> Amount:
    """Make dialogues, or those that are still missing; a folder may hold several splits.

    The same settings give the same samples again, and a longer corpus begins with a shorter one.

    Args:
        folder: Where they go: ``manifest.jsonl``, and ``<split>/000000.wav`` with ``.json`` beside it.
        corpus: What they are.
        dialogues: Make so many.
        minutes: Make so many that they last so long.

    Raises:
        ValueError: if it is not said how many, or the folder holds other dialogues.
    """
    if (dialogues is None) == (minutes is None) or (dialogues or minutes or 0) <= 0:
        raise ValueError(f"dialogues is {dialogues} and minutes {minutes}: one of them must be more than 0")
    home = folder / corpus.split
    home.mkdir(parents=True, exist_ok=True)
    _check_settings(home, corpus)
    lines: list[dict[str, Any]] = []
    seconds = 0.0
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"speaking dialogues in {home}", total=dialogues or (minutes or 0) * 60)
        for line in _lines(folder, corpus):
            lines.append(line)
            seconds += line["duration"]
            progress.update(task, completed=len(lines) if dialogues else seconds)
            if len(lines) == dialogues or (minutes is not None and seconds >= minutes * 60):
                break
    _write_manifest(folder / _MANIFEST, corpus.split, lines)
    return Amount(len(lines), seconds)


class _Speaker:
    """Speaks dialogues by number, from a multiple of the block size on, without a gap."""

    def __init__(self, corpus: Corpus):
        self.corpus, self.engine = corpus, Engine()
        self.recorded = RecordedWords(corpus.user_recordings, DIGITS) if corpus.user_recordings else None
        self.noises = Noises(_noise_files(corpus.noise, corpus.split) if corpus.noise else [], SAMPLE_RATE)

    def speak(self, number: int) -> tuple[Dialogue, SpokenDialogue, dict[str, str]]:
        """A dialogue, its sound, and the names of the voices."""
        corpus = self.corpus
        rng = random.Random(f"{corpus.seed}/audio/{corpus.split}/{number}")
        moshi = SyntheticTalker(self.engine, MOSHI)
        if self.recorded:
            written = digit_dialogue(corpus.seed, corpus.split, number)
            user = self.recorded.talker(corpus.split, rng, self.engine.sample_rate)
        else:
            written = dialogue(corpus.seed, corpus.split, number)
            user = synthetic_user(self.engine, corpus.split, rng)
        augmentation = AUGMENTATIONS[corpus.augmentation]
        spoken = speak(written, moshi=moshi, user=user, augmentation=augmentation, noises=self.noises, rng=rng)
        return written, spoken, {"moshi": moshi.name, "user": user.name}


def _noise_files(source: str, split: Split) -> list[Path]:
    """Recordings of noise that are marked for a split, or not marked."""
    files = [r.path for r in find(source) if r.kind != "rir" and r.split in (None, split)]
    if not files:
        raise ValueError(f"{source} has no noise for the split {split!r}: leave the splits in its manifest unmarked")
    return files


def _lines(folder: Path, corpus: Corpus) -> Iterator[dict[str, Any]]:
    """Lines of the manifest without end; dialogues are made unless they are there."""
    number, speaker, next_to_speak = 0, None, -1
    while True:
        path = Path(corpus.split) / f"{number:06d}.wav"
        line = _line(folder, path)
        if line is None:
            begin = number // _BLOCK * _BLOCK
            if speaker is None or not begin < next_to_speak <= number:  # one that has begun with this block goes on
                speaker, next_to_speak = _Speaker(corpus), begin
            while next_to_speak < number:  # said before: espeak has to have said it again
                speaker.speak(next_to_speak)
                next_to_speak += 1
            _save(folder / path, *speaker.speak(number), number=number)
            next_to_speak = number + 1
            line = _line(folder, path)
            assert line is not None, "it has just been written"
        yield line
        number += 1


def _save(path: Path, written: Dialogue, spoken: SpokenDialogue, voices: dict[str, str], *, number: int) -> None:
    """Write a dialogue; its words come last, and say that the sound is complete."""
    handle, draft = tempfile.mkstemp(".wav", ".", path.parent)
    os.close(handle)
    audio.save(draft, spoken.wav, SAMPLE_RATE)
    os.chmod(draft, 0o644)  # noqa: PTH101 - the name is all there is
    Path(draft).replace(path)
    more = {"duration": round(spoken.duration, 4), "family": written.family, "number": number, "voices": voices}
    write_words(path, spoken.words, {**more, "turns": spoken.turns})


def _line(folder: Path, path: Path) -> dict[str, Any] | None:
    """A dialogue's line in the manifest; None: it is not there."""
    words = sidecar(folder / path)
    if not words.is_file() or not (folder / path).is_file():
        return None
    known = json.loads(words.read_bytes())
    about = {"split": path.parent.name, "speaker": known["voices"]["user"], "family": known["family"]}
    return {"path": path.as_posix(), "duration": known["duration"], **about}


def _check_settings(home: Path, corpus: Corpus) -> None:
    """Note what the folder holds, or compare."""
    settings = {"version": _VERSION, **asdict(corpus)}
    file = home / _SETTINGS
    if not file.is_file() or not any(home.glob("[0-9]*.json")):
        write_whole(file, json.dumps(settings) + "\n")
        return
    before = json.loads(file.read_bytes())
    if before != settings:
        changed = ", ".join(
            f"{name} was {before.get(name)!r}" for name in settings if before.get(name) != settings[name]
        )
        raise ValueError(f"{home} holds other dialogues ({changed}): make these in another folder, or remove that one")


def _write_manifest(path: Path, split: Split, lines: list[dict[str, Any]]) -> None:
    """Put lines in the place of those of the same split; more of them may be there from a longer run."""
    before = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    same = [line for line in before if line["split"] == split]
    kept = [line for line in before if line["split"] != split]
    mine = lines if len(lines) >= len(same) else same
    write_whole(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in [*kept, *mine]))
