"""Documents in tokens: files are tokenised once, kept in the cache, and mapped into memory from there."""

import hashlib
import json
import logging
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from moshi_zoo.data.cache import cache_folder, made_once
from moshi_zoo.data.text_documents import DocumentKind, Encoded
from moshi_zoo.data.text_files import LineReport
from moshi_zoo.tokenizer import Tokenizer

log = logging.getLogger(__name__)

_VERSION = 1  # of the layout below
_TOKENS, _COUNTED, _LENGTHS, _HASHES, _BAD, _ABOUT = (
    "tokens.bin",
    "counted.bin",
    "lengths.npy",
    "hashes.npy",
    "bad_lines.jsonl",
    "about.json",
)
_BATCH_CHARACTERS = 1 << 20  # tokenised at once

D = TypeVar("D")


class Mapped:
    """A file of numbers in memory: read where it is looked at, and shared among processes.

    Args:
        path: The file.
        dtype: Of its numbers.
    """

    def __init__(self, path: Path, dtype: str):
        self.path, self.dtype = path, dtype
        self._mapped: NDArray[Any] | None = None

    def __getitem__(self, stretch: slice) -> NDArray[Any]:
        if self._mapped is None:
            self._mapped = np.memmap(self.path, self.dtype, mode="r")
        return self._mapped[stretch]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mapped": None}  # numpy would send the content to another process


Numbers = NDArray[Any] | Mapped


@dataclass(frozen=True)
class Documents:
    """Documents as stretches of a row of tokens.

    Args:
        tokens: Of all documents, and perhaps of others.
        starts: Where each document begins, [N].
        lengths: Its number of tokens, [N].
        hashes: Of its text, [N] uint64.
        counted: For each token whether a model shall learn to predict it; None: all but the first of a document.
    """

    tokens: Numbers
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    counted: Numbers | None = None

    @property
    def num_tokens(self) -> int:
        """Of all documents."""
        return int(self.lengths.sum())

    def __len__(self) -> int:
        return len(self.lengths)

    def select(self, chosen: NDArray[Any]) -> "Documents":
        """Some of the documents, by mask or by number."""
        return replace(self, starts=self.starts[chosen], lengths=self.lengths[chosen], hashes=self.hashes[chosen])

    @classmethod
    def from_encoded(cls, encoded: Iterable[Encoded]) -> Self:
        """Documents in memory; their hashes are 0."""
        tokens, counted, lengths = array("i"), array("b"), array("q")
        all_count = True
        for document in encoded:
            tokens.extend(document.tokens)
            lengths.append(len(document.tokens))
            all_count &= document.counted is None
            counted.extend(document.counted or [True] * len(document.tokens))
        ends = np.cumsum(np.array(lengths, np.int64))
        return cls(
            np.array(tokens, np.int64),
            ends - np.array(lengths, np.int64),
            np.array(lengths, np.int64),
            np.zeros(len(lengths), np.uint64),
            None if all_count else np.array(counted, bool),
        )


def tokenized(
    files: Sequence[Path], kind: DocumentKind, tokenizer: Tokenizer, *, max_bad_share: float, quiet: bool = False
) -> Documents:
    """The documents of files. They are tokenised at the first call, and again when a file has changed.

    Args:
        files: In which they are.
        kind: What they are.
        tokenizer: Makes the tokens.
        max_bad_share: The share of lines that may be bad.
        quiet: Show no progress, and say nothing about bad lines.

    Raises:
        ValueError: if there are none, or too many lines are bad.
    """
    key = [_VERSION, kind.name, kind.version, max_bad_share, tokenizer.sha256, signature(files)]
    name = f"{kind.name}-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]}"
    folder = made_once(
        cache_folder() / name,
        lambda draft: _tokenize(draft, files, kind, tokenizer, max_bad_share=max_bad_share, quiet=quiet),
    )
    about = json.loads((folder / _ABOUT).read_text())
    if about["bad"] and not quiet:
        log.warning(
            "%d of %d lines cannot be used and are left out; all are listed in %s:%s",
            about["bad"],
            about["lines"],
            folder / _BAD,
            "".join(f"\n  {example}" for example in about["examples"]),
        )
    lengths = np.load(folder / _LENGTHS, allow_pickle=False)
    counted = Mapped(folder / _COUNTED, "bool") if (folder / _COUNTED).exists() else None
    tokens = Mapped(folder / _TOKENS, about["dtype"])
    return Documents(
        tokens, np.cumsum(lengths) - lengths, lengths, np.load(folder / _HASHES, allow_pickle=False), counted
    )


def signature(files: Iterable[Path]) -> list[tuple[str, int, int]]:
    """What changes when a file does: name, size, time of the last change."""
    return [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]


def _tokenize(
    folder: Path,
    files: Sequence[Path],
    kind: DocumentKind,
    tokenizer: Tokenizer,
    *,
    max_bad_share: float,
    quiet: bool,
) -> None:
    report = LineReport(max_bad_share, folder / _BAD)
    dtype = "uint16" if tokenizer.vocab_size <= 1 << 16 else "uint32"
    lengths, hashes = array("q"), array("Q")
    console = Console(stderr=True)
    progress = Progress(console=console, transient=True, disable=quiet or not console.is_terminal)
    with progress, (folder / _TOKENS).open("wb") as tokens, (folder / _COUNTED).open("wb") as counted:
        for file in progress.track(files, description="tokenising (once)"):
            for batch in _batches(kind.read(file, report), kind):
                hashes.extend(_hash(kind.text(document)) for document in batch)
                for document in kind.encode(batch, tokenizer, num_threads=os.cpu_count() or 1):
                    lengths.append(len(document.tokens))
                    tokens.write(np.array(document.tokens, dtype).tobytes())
                    if document.counted is not None:
                        counted.write(np.array(document.counted, bool).tobytes())
    report.check()
    if not lengths:
        raise ValueError(f"there is no {kind.name} in {', '.join(map(str, files[:3]))}")
    if not (folder / _COUNTED).stat().st_size:
        (folder / _COUNTED).unlink()
    np.save(folder / _LENGTHS, np.array(lengths, np.int64))
    np.save(folder / _HASHES, np.array(hashes, np.uint64))
    about = {"dtype": dtype, "lines": report.num_lines, "bad": report.num_bad, "examples": report.examples}
    (folder / _ABOUT).write_text(json.dumps(about))


def _batches(documents: Iterator[D], kind: DocumentKind[D]) -> Iterator[list[D]]:
    batch, size = [], 0
    for document in documents:
        batch.append(document)
        size += len(kind.text(document))
        if size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
