"""Dialogues on disk in moshi-finetune's format: who says which word when, beside the audio that it is said in.

A dialogue is a stereo file, Moshi in channel 0 and the user in channel 1, with a ``<stem>.json`` beside it::

    {"alignments": [["hello,", [0.48, 0.95], "SPEAKER_MAIN"], ...]}

and a line ``{"path": ..., "duration": ...}`` in a manifest. What else a file says (``text_conditions``, our ``turns``)
is left alone by readers that do not know it. Manifests that hold the words themselves do as well.
"""

import json
import math
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moshi_zoo.data.manifest import Recording, find, read_manifest

MAIN, OTHER = "SPEAKER_MAIN", "SPEAKER_USER"
"""Labels of the speakers in channel 0, which is Moshi, and in channel 1."""

_CHANNELS = (MAIN, OTHER)
_WORDS = "alignments"
_EXAMPLE = '{"alignments": [["hello", [0.48, 0.95], "SPEAKER_MAIN"]]}'


@dataclass(frozen=True)
class Word:
    """A word and when it is said, in seconds, by whom: :data:`MAIN`, or any other name."""

    text: str
    start_s: float
    end_s: float
    speaker: str = MAIN


def find_dialogues(source: str | Path) -> list[Recording]:
    """The dialogues of a manifest, of all manifests in a folder, or of a folder without any.

    Raises:
        ValueError: if there are none.
    """
    folder = Path(source).expanduser()
    manifests = sorted(folder.rglob("*.jsonl")) if folder.is_dir() else []
    if not manifests:
        return find(source)
    found = {recording.path: recording for path in manifests for recording in read_manifest(path, others="skip")}
    if not found:
        raise ValueError(f"{source}: its manifests name no audio ({', '.join(map(str, manifests[:3]))})")
    return list(found.values())


def sidecar(audio: Path) -> Path:
    """Where the words of an audio file are."""
    return audio.with_suffix(".json")


def read_words(recording: Recording) -> list[Word] | None:
    """The words of a recording in order of time: from the file beside it, else from the manifest. None: not known.

    Raises:
        ValueError: if they are malformed: the message names file and word.
    """
    path = sidecar(recording.path)
    if path.is_file():
        return _sorted(_word(entry, path) for entry in _content(path)[_WORDS])
    if recording.words is None:
        return None
    return _sorted(_manifest_word(entry, recording.path) for entry in recording.words)


def read_about(recording: Recording) -> dict[str, Any]:
    """What the file beside a recording says but for the words, such as ``turns``; empty: nothing.

    Raises:
        ValueError: if it is malformed.
    """
    path = sidecar(recording.path)
    return {name: value for name, value in _content(path).items() if name != _WORDS} if path.is_file() else {}


def write_words(audio: Path, words: Iterable[Word], more: Mapping[str, Any] | None = None) -> None:
    """Write the words beside an audio file, whole or not at all.

    Args:
        audio: The file.
        words: What is said in it.
        more: What else to say about it, by name.
    """
    alignments = [[w.text, [round(w.start_s, 4), round(w.end_s, 4)], w.speaker] for w in words]
    write_whole(sidecar(audio), json.dumps({_WORDS: alignments, **(more or {})}, ensure_ascii=False) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a file that is whole, or not there: never half."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", delete=False, encoding="utf-8") as draft:
        draft.write(text)
    os.chmod(draft.name, 0o644)  # noqa: PTH101 - the name is all there is
    Path(draft.name).replace(path)


def mixture(source: str | Mapping[str, float]) -> dict[str, float]:
    """Sources with their weights; moshi-finetune's ``dirA:0.7,fileB.jsonl:0.3`` is understood.

    Raises:
        ValueError: if there is none, one comes twice, or a weight is not positive.
    """
    if not isinstance(source, str):
        pairs = [(name, float(weight)) for name, weight in source.items()]
    else:
        pairs = [_weighted(part.strip()) for part in source.split(",") if part.strip()]
    sources = dict(pairs)
    if not sources or len(sources) < len(pairs) or not all(0 < weight < math.inf for weight in sources.values()):
        raise ValueError(f"the source is {source!r}; it must name each source once, with positive weights: a:0.7,b:0.3")
    return sources


def _weighted(part: str) -> tuple[str, float]:
    name, separator, weight = part.rpartition(":")
    try:
        return (name, float(weight)) if separator else (part, 1.0)
    except ValueError:
        return part, 1.0  # a colon in the name of a folder


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); it looks like {_EXAMPLE}") from error
    if not isinstance(content, dict) or not isinstance(content.get(_WORDS), list):
        raise ValueError(f'{path} has no list "{_WORDS}"; it looks like {_EXAMPLE}')
    return content


def _word(entry: Any, path: Path) -> Word:
    try:
        text, (start, end), speaker = entry
        return _checked(text, start, end, speaker)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {entry!r} is not [word, [start in seconds, end in seconds], speaker]") from error


def _manifest_word(entry: Any, path: Path) -> Word:
    """``[word, start, end]``, perhaps with the number of its channel or the name of its speaker."""
    try:
        text, start, end, *speaker = entry
        who = speaker[0] if speaker else 0
        return _checked(text, start, end, _CHANNELS[who] if isinstance(who, int) else str(who))
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(f"{path}: {entry!r} is not [word, start in seconds, end in seconds, channel]") from error


def _checked(text: Any, start: Any, end: Any, speaker: Any) -> Word:
    if not isinstance(text, str) or not isinstance(speaker, str):
        raise TypeError("a word and its speaker are texts")
    times = float(start), float(end)
    if not all(map(math.isfinite, times)):
        raise ValueError("times are numbers")
    return Word(text.strip(), *times, speaker)


def _sorted(words: Iterable[Word]) -> list[Word]:
    return sorted(words, key=lambda word: (word.start_s, word.end_s))  # files of two merged speakers often are not
