"""Dialogues as codes: encoded once, kept in safetensors shards, read a window at a time.

A store is a folder: ``store.json`` says which codec made the codes; ``shard-00000.safetensors`` holds for each dialogue
the codes, int16 [C, K, T], its words, and what else is known about it, as the bytes of JSON; ``shard-00000.jsonl`` says
what is in it, a line for each. A shard is there when its lines are. To stop while one is made costs that shard only.
"""

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from moshi_zoo.data.alignments import Word, write_whole
from moshi_zoo.data.code_views import View

_ABOUT = "store.json"
_VERSION = 1  # of this layout
_OPEN_SHARDS = 256
_INT16 = 1 << 15


@dataclass(frozen=True)
class CodecIdentity:
    """Which codec made the codes.

    Args:
        name: As the user typed it.
        sha256: Of its weights.
        sample_rate: In Hz.
        frame_rate: Frames a second.
        num_codebooks: K: codes of a frame and channel.
        codebook_size: Codes are below it.
    """

    name: str
    sha256: str
    sample_rate: int
    frame_rate: float
    num_codebooks: int
    codebook_size: int

    @property
    def frame_size(self) -> int:
        """Samples of a frame."""
        return round(self.sample_rate / self.frame_rate)


@dataclass(frozen=True)
class Entry:
    """A dialogue in a store.

    Args:
        path: Of its audio file, when it was encoded.
        bytes: Size of that file.
        channels: C: 2 for Moshi and the user, 1 for all in one.
        num_frames: T.
        split: As the manifest said.
        num_words: Words known; None: nothing is known about them.
        shard: Number of the shard that has it.
        view: How it was encoded.
    """

    path: str
    bytes: int
    channels: int
    num_frames: int
    split: str | None
    num_words: int | None
    shard: int = 0
    view: View = "recorded"


@dataclass(frozen=True)
class CodedDialogue:
    """What is to be stored.

    Args:
        entry: What it is.
        codes: Integers [C, K, T].
        words: None if not known.
        about: What else is known about it, for JSON: such as its turns, and the right answers.
    """

    entry: Entry
    codes: Tensor
    words: Sequence[Word] | None
    about: Mapping[str, Any] = field(default_factory=dict)


class CodeStore:
    """A store to read from. It may travel to worker processes: each opens the files for itself.

    Args:
        folder: The store.

    Attributes:
        codec: That made the codes.
        entries: What it holds, in order.

    Raises:
        ValueError: if there is none, or it is damaged.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder).expanduser()
        self.codec = _read_identity(self.folder)
        self.entries = [entry for path in _indexes(self.folder) for entry in _read_index(path)]
        self._opened = functools.lru_cache(_OPEN_SHARDS)(_open)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_opened"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _opened=functools.lru_cache(_OPEN_SHARDS)(_open))

    def codes(self, number: int, start: int = 0, stop: int | None = None) -> Tensor:
        """Frames of a dialogue, int64 [C, K, T]; only they are read."""
        entry = self.entries[number]
        shard = self._opened(_shard(self.folder, entry.shard))
        return shard.get_slice(_codes_key(entry))[:, :, start:stop].long()

    def words(self, number: int) -> list[Word] | None:
        """Words of a dialogue in order of time; None: not known."""
        entry = self.entries[number]
        if entry.num_words is None:
            return None
        return [Word(*word) for word in self._json(entry, _words_key(entry))]

    def about(self, number: int) -> dict[str, Any]:
        """What else is known about a dialogue, such as ``turns``; empty: nothing."""
        entry = self.entries[number]
        known = _about_key(entry) in set(self._opened(_shard(self.folder, entry.shard)).keys())
        return self._json(entry, _about_key(entry)) if known else {}

    def _json(self, entry: Entry, key: str) -> Any:
        return json.loads(self._opened(_shard(self.folder, entry.shard)).get_tensor(key).numpy().tobytes())


class CodeStoreWriter:
    """A store to add to, by one process at a time.

    Args:
        folder: The store; it is made if it is not there.
        codec: That makes the codes.

    Attributes:
        known: Entries that are there already, by path.

    Raises:
        ValueError: if the store was made by another codec.
    """

    def __init__(self, folder: Path, codec: CodecIdentity):
        self.folder, self.codec = folder, codec
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / _ABOUT).is_file():
            _check_same(folder, _read_identity(folder), codec)
        elif any(folder.iterdir()):
            raise ValueError(f"{folder} is no store of codes, and not empty: give another folder")
        else:
            write_whole(folder / _ABOUT, json.dumps({"version": _VERSION, "codec": asdict(codec)}, indent=1) + "\n")
        indexes = _indexes(folder)
        self.known = {entry.path: entry for path in indexes for entry in _read_index(path)}
        self._next_shard = 1 + max((int(path.stem.rpartition("-")[2]) for path in indexes), default=-1)

    def write_shard(self, dialogues: Iterable[CodedDialogue]) -> None:
        """Add dialogues as one shard, which is there as a whole or not at all."""
        number, tensors, lines = self._next_shard, {}, []
        for dialogue in dialogues:
            entry = Entry(**{**asdict(dialogue.entry), "shard": number})
            self._check(dialogue)
            tensors[_codes_key(entry)] = dialogue.codes.to("cpu", torch.int16).contiguous()
            if dialogue.words is not None:
                tensors[_words_key(entry)] = _as_json([[w.text, w.start_s, w.end_s, w.speaker] for w in dialogue.words])
            if dialogue.about:
                tensors[_about_key(entry)] = _as_json(dialogue.about)
            lines.append(entry)
        shard = _shard(self.folder, number)
        draft = shard.with_name(f".{shard.name}")
        save_file(tensors, draft, {"codec_sha256": self.codec.sha256})
        draft.chmod(0o644)  # safetensors writes for the owner alone
        draft.replace(shard)
        write_whole(_index(shard), "".join(json.dumps(asdict(e), ensure_ascii=False) + "\n" for e in lines))
        self.known |= {entry.path: entry for entry in lines}
        self._next_shard += 1

    def _check(self, dialogue: CodedDialogue) -> None:
        entry, codec, codes = dialogue.entry, self.codec, dialogue.codes
        assert codes.shape == (entry.channels, codec.num_codebooks, entry.num_frames), f"{entry}: {codes.shape}"
        assert codec.codebook_size <= _INT16, "codes are kept as int16"


def _shard(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}.safetensors"


def _index(shard: Path) -> Path:
    return shard.with_suffix(".jsonl")


def _codes_key(entry: Entry) -> str:
    return f"codes/{entry.path}"


def _words_key(entry: Entry) -> str:
    return f"words/{entry.path}"


def _about_key(entry: Entry) -> str:
    return f"about/{entry.path}"


def _as_json(content: Any) -> Tensor:
    return torch.frombuffer(bytearray(json.dumps(content).encode()), dtype=torch.uint8)


def _indexes(folder: Path) -> list[Path]:
    return sorted(folder.glob("shard-*.jsonl"))


def _read_index(path: Path) -> Iterator[Entry]:
    names = {known.name for known in fields(Entry)}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            yield Entry(**{name: value for name, value in json.loads(line).items() if name in names})
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}:{number}: damaged ({error}); remove the shard, and encode again") from error


def _read_identity(folder: Path) -> CodecIdentity:
    about = folder / _ABOUT
    if not about.is_file():
        raise ValueError(
            f"{folder} is no store of codes: make one with `data encode MANIFEST --model CODEC --out STORE`, or with "
            "`data synth --codec CODEC --out STORE`"
        )
    try:
        content: dict[str, Any] = json.loads(about.read_bytes())
        if content["version"] != _VERSION:
            raise ValueError(f"its version is {content['version']}, not {_VERSION}")
        return CodecIdentity(**content["codec"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{about} cannot be used ({error}): encode into a new folder") from error


def _check_same(folder: Path, before: CodecIdentity, now: CodecIdentity) -> None:
    if before.sha256 != now.sha256:
        raise ValueError(
            f"{folder} holds codes of another codec: {before.name} ({before.sha256[:12]}), "
            f"not {now.name} ({now.sha256[:12]}): encode into another folder, or use that codec"
        )
    if before.num_codebooks != now.num_codebooks:
        raise ValueError(
            f"{folder} holds {before.num_codebooks} codebooks, not {now.num_codebooks}: encode into another folder"
        )


def _open(shard: Path) -> Any:
    try:
        return safe_open(shard, framework="pt").__enter__()  # closed when it is forgotten
    except (SafetensorError, FileNotFoundError) as error:
        raise ValueError(f"{shard} cannot be read ({error}); remove it with its .jsonl, and encode again") from error
