"""Which recordings there are: a manifest, a folder, or a single file.

A manifest is a ``manifest.jsonl``: one JSON object a line with ``path`` and, where known, ``duration`` (or
``duration_s``), ``split``, ``speaker``, ``text``, ``words``, ``phonemes`` and ``kind``. Paths are relative to the
manifest's folder, or else to the folder above it; absolute paths are taken as they are. A manifest is trusted like a
command line: it may name any file that you may read.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from moshi_zoo.data.audio import SUFFIXES
from moshi_zoo.data.decode import FOREIGN_SUFFIXES

SPLITS = {"train": "train", "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid", "test": "test"}
"""Names of splits, and what we call them."""


@dataclass(frozen=True)
class Recording:
    """One audio file and what is known about it.

    Args:
        path: The file.
        duration: In seconds, as the manifest says; None where nobody said.
        split: train, valid or test.
        speaker: Who speaks; the same name means the same person.
        text: What is said.
        words: ``[word, start_s, end_s, ...]`` of each word.
        kind: Speech unless the manifest says otherwise; ``noise`` and ``rir`` are not speech.
        phonemes: ``[phoneme, start_s, end_s]`` of each phoneme.
    """

    path: Path
    duration: float | None = None
    split: str | None = None
    speaker: str | None = None
    text: str | None = None
    words: list[list[Any]] | None = None
    kind: str | None = None
    phonemes: list[list[Any]] | None = None


def find(source: str | Path) -> list[Recording]:
    """List the recordings of a source, in a fixed order.

    Args:
        source: A ``.jsonl`` manifest, an audio file, or a folder. A folder is searched through and through; manifests
            in it add what they know about the files, and files that only they know.

    Raises:
        ValueError: if there is nothing there, or a manifest is empty or malformed.
    """
    source = Path(os.path.normpath(Path(source).expanduser().absolute()))  # links keep the names the user gave
    if source.is_dir():
        return _scan(source)
    if not source.exists():
        raise ValueError(f"{source} does not exist: give a folder of recordings, a manifest.jsonl, or `synthetic`")
    if source.suffix == ".jsonl":
        return read_manifest(source)
    if _is_audio(source):
        return [Recording(source)]
    raise ValueError(f"{source} is neither a manifest (.jsonl) nor audio ({', '.join(sorted(SUFFIXES))})")


def read_manifest(manifest: str | Path, *, others: Literal["keep", "skip"] = "keep") -> list[Recording]:
    """Read a manifest.

    Args:
        manifest: The file.
        others: What to do with lines about files that are not audio, such as texts.

    Raises:
        ValueError: if it is empty, or a line is malformed: the message names file and line.
    """
    manifest = Path(manifest)
    lines = [(number, line) for number, line in enumerate(manifest.read_bytes().splitlines(), 1) if line.strip()]
    if not lines:
        raise ValueError(f"{manifest} is empty; it needs lines like {_EXAMPLE}")
    recordings, base = [], None
    for number, line in lines:
        try:
            entry = _parse(line)
            path = entry["path"]
            if others == "skip" and not _is_audio(Path(path)):
                continue
            base = base or next((f for f in (manifest.parent, manifest.parent.parent) if (f / path).exists()), None)
            recordings.append(_recording(entry, (base or manifest.parent) / path))
        except ValueError as error:
            raise ValueError(f"{manifest}:{number}: {error}; a line looks like {_EXAMPLE}") from error
    return recordings


_EXAMPLE = '{"path": "a.wav", "duration": 3.2}'


def _parse(line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg}, character {error.pos})") from error
    if not isinstance(entry, dict):
        raise ValueError("not a JSON object")
    if not _field(entry, "path", str):
        raise ValueError('"path" is missing')
    return entry


def _recording(entry: dict[str, Any], path: Path) -> Recording:
    split = _field(entry, "split", str)
    if split is not None and split.lower() not in SPLITS:
        raise ValueError(f'"split" is {split!r}, not train, valid or test')
    duration = _field(entry, "duration", float)
    speaker = entry.get("speaker")
    return Recording(
        path=Path(os.path.normpath(path)),
        duration=_field(entry, "duration_s", float) if duration is None else duration,
        split=SPLITS[split.lower()] if split else None,
        speaker=None if speaker is None else str(speaker),
        text=_field(entry, "text", str),
        words=_field(entry, "words", list),
        kind=_field(entry, "kind", str),
        phonemes=_field(entry, "phonemes", list),
    )


def _field(entry: dict[str, Any], name: str, kind: type) -> Any:
    value = entry.get(name)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if value is not None and not isinstance(value, kind):
        raise ValueError(f'"{name}" is {value!r}, not {_KIND_NAMES[kind]}')
    return value


_KIND_NAMES = {str: "a text", float: "a number", list: "a list"}


def _scan(folder: Path) -> list[Recording]:
    found = {path: Recording(path) for path in _walk(folder) if _is_audio(path)}
    for manifest in [path for path in _walk(folder) if path.name == "manifest.jsonl"]:
        found.update({recording.path: recording for recording in read_manifest(manifest, others="skip")})
    if not found:
        raise ValueError(f"{folder} holds no audio: looked for {', '.join(sorted(SUFFIXES))} in it and below")
    return [found[path] for path in sorted(found)]


def _walk(folder: Path) -> Iterator[Path]:
    """All files below a folder, hidden ones left out; links to folders are followed, circles are not."""
    seen = set()
    for here, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real not in seen:
            yield from (Path(here) / name for name in sorted(files) if not name.startswith("."))
        seen.add(real)


def _is_audio(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES | FOREIGN_SUFFIXES
