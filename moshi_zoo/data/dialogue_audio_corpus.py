"""A folder of spoken dialogues in moshi-finetune's format, made one by one: it may stop and go on at any time."""

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from moshi_zoo.data import audio
from moshi_zoo.data.alignments import sidecar, write_whole, write_words
from moshi_zoo.data.dialogue_audio import SAMPLE_RATE
from moshi_zoo.data.dialogue_corpus import BLOCK, Corpus, Speaker, Take, check_same
from moshi_zoo.data.dialogue_tasks import Split

_SETTINGS = ".settings.json"
_MANIFEST = "manifest.jsonl"


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


def _lines(folder: Path, corpus: Corpus) -> Iterator[dict[str, Any]]:
    """Lines of the manifest without end; dialogues are made unless they are there."""
    number, speaker, next_to_speak = 0, None, -1
    while True:
        path = Path(corpus.split) / f"{number:06d}.wav"
        line = _line(folder, path)
        if line is None:
            begin = number // BLOCK * BLOCK
            if speaker is None or not begin < next_to_speak <= number:  # one that has begun with this block goes on
                speaker, next_to_speak = Speaker(corpus), begin
            while next_to_speak < number:  # said before: espeak has to have said it again
                speaker.speak(next_to_speak)
                next_to_speak += 1
            _save(folder / path, speaker.speak(number))
            next_to_speak = number + 1
            line = _line(folder, path)
            assert line is not None, "it has just been written"
        yield line
        number += 1


def _save(path: Path, take: Take) -> None:
    """Write a dialogue; its words come last, and say that the sound is complete."""
    handle, draft = tempfile.mkstemp(".wav", ".", path.parent)
    os.close(handle)
    audio.save(draft, take.spoken.wav, SAMPLE_RATE)
    os.chmod(draft, 0o644)  # noqa: PTH101 - the name is all there is
    Path(draft).replace(path)
    write_words(path, take.spoken.words, take.about)


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
    file = home / _SETTINGS
    if file.is_file() and any(home.glob("[0-9]*.json")):
        check_same(json.loads(file.read_bytes()), corpus.settings, str(home))
    else:
        write_whole(file, json.dumps(corpus.settings) + "\n")


def _write_manifest(path: Path, split: Split, lines: list[dict[str, Any]]) -> None:
    """Put lines in the place of those of the same split; more of them may be there from a longer run."""
    before = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    same = [line for line in before if line["split"] == split]
    kept = [line for line in before if line["split"] != split]
    mine = lines if len(lines) >= len(same) else same
    write_whole(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in [*kept, *mine]))
