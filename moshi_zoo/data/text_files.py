"""Text files: which there are, and what is in them. Plain or packed with gzip or zstandard; bad lines are counted.

* A ``.txt`` file is one document; a very large one is cut into documents of 16 MB, at ends of lines.
* A ``.jsonl`` file holds one JSON object a line; what makes it a document, its reader says.
"""

import glob
import gzip
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

SUFFIXES = tuple(kind + packing for kind in (".txt", ".jsonl") for packing in ("", ".gz", ".zst"))
"""Names of files that are read as text end like this."""

_CHUNK = 1 << 20
_LARGEST_DOCUMENT = 1 << 24  # bytes of a .txt file
_FEW = 100  # bad lines among the first ones do not stop a run
_EXAMPLES = 5


def find_text(source: str | Path) -> list[Path]:
    """The text files of a source, in a fixed order.

    Args:
        source: A file, a folder (searched through and through; hidden files and ``manifest.jsonl`` are left out), or a
            pattern such as ``corpus/**/*.jsonl.zst``.

    Raises:
        ValueError: if there is none.
    """
    path = Path(source).expanduser().absolute()
    if path.is_dir():
        found = [file for file in _walk(path) if file.name.endswith(SUFFIXES) and file.name != "manifest.jsonl"]
    elif path.exists():
        found = [path] if path.name.endswith(SUFFIXES) else []
    elif glob.has_magic(str(source)):
        matches = map(Path, glob.glob(str(path), recursive=True))  # noqa: PTH207 - pathlib wants a base to start from
        found = sorted(file for file in matches if file.name.endswith(SUFFIXES) and file.is_file())
    else:
        raise ValueError(f"{source} does not exist: give a text file, a folder, a pattern, or `dialogues`")
    if not found:
        raise ValueError(f"{source} has no text: looked for names that end in {', '.join(SUFFIXES)}")
    return found


class LineReport:
    """The account of lines: those that cannot be used are listed, and too many stop the run.

    Args:
        max_share: The share of lines that may be bad, 0 to 1.
        listing: Where to write ``{"path": ..., "line": ..., "reason": ...}`` a line; None: nowhere.
    """

    def __init__(self, max_share: float, listing: Path | None = None):
        self.max_share, self.listing = max_share, listing
        self.num_lines = self.num_bad = 0
        self.examples: list[str] = []

    def good(self, count: int = 1) -> None:
        """Count lines that can be used."""
        self.num_lines += count

    def bad(self, path: Path, line: int, reason: str) -> None:
        """Take note of a line that is left out.

        Raises:
            ValueError: if there are now too many.
        """
        self.num_lines, self.num_bad = self.num_lines + 1, self.num_bad + 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{path}:{line}: {reason}")
        if self.listing:
            with self.listing.open("a", encoding="utf-8") as listing:
                listing.write(json.dumps({"path": str(path), "line": line, "reason": reason}) + "\n")
        if self.num_bad > _FEW:
            self.check()

    def check(self) -> None:
        """Compare with the share that is allowed.

        Raises:
            ValueError: if more lines are bad.
        """
        if self.num_bad > self.max_share * self.num_lines:
            examples = "".join(f"\n  {example}" for example in self.examples)
            raise ValueError(
                f"{self.num_bad} of {self.num_lines} lines cannot be used, more than the {self.max_share:.0%} that "
                f"max_bad_share allows. Mend or remove them, for example:{examples}"
            )


def read_objects(path: Path, report: LineReport) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON objects of a ``.jsonl`` file, with their line numbers. Blank lines are ignored, bad ones reported."""
    for number, line in _lines(path, report):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            if b"\\ud" in line.lower():  # the only way to half a character
                json.dumps(value, ensure_ascii=False).encode()
        except UnicodeError:
            report.bad(path, number, "is no Unicode text")
        except (ValueError, RecursionError) as error:
            report.bad(path, number, f"is no JSON: {error}")
        else:
            if isinstance(value, dict):
                yield number, value
            else:
                report.bad(path, number, f"is no JSON object but {type(value).__name__}")


def read_plain(path: Path, report: LineReport) -> Iterator[str]:
    """The documents of a ``.txt`` file; lines that are no UTF-8 are reported and left out."""
    lines: list[str] = []
    size = 0
    for number, line in _lines(path, report):
        if size >= _LARGEST_DOCUMENT:
            yield "\n".join([*lines, ""])
            lines, size = [], 0
        try:
            lines.append(line.decode("utf-8-sig" if number == 1 else "utf-8").removesuffix("\r"))
        except UnicodeDecodeError:
            report.bad(path, number, "is no UTF-8")
        else:
            report.good()
            size += len(line) + 1
    if any(lines):
        yield "\n".join(lines)


def is_jsonl(path: Path) -> bool:
    """Whether a text file holds JSON objects."""
    return ".jsonl" in path.suffixes


def _lines(path: Path, report: LineReport) -> Iterator[tuple[int, bytes]]:
    """Lines without their ends, counted from 1; what follows damage in a packed file is lost, and reported."""
    begun, number = [], 1
    try:
        for chunk in _chunks(path):
            first, *others = chunk.split(b"\n")
            begun.append(first)
            for other in others:
                yield number, b"".join(begun)
                begun, number = [other], number + 1
    except (EOFError, gzip.BadGzipFile, zlib.error, _DamagedError) as error:
        report.bad(path, number, f"the file is damaged from here on: {error}")
        return
    yield number, b"".join(begun)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        if path.suffix == ".zst":
            yield from _unpacked(file)
        else:
            unpacked = gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file
            while chunk := unpacked.read(_CHUNK):
                yield chunk


class _DamagedError(Exception):
    """A zstandard file that cannot be read to its end."""


def _unpacked(file: IO[bytes]) -> Iterator[bytes]:
    """Content of zstandard frames. The package's own reader takes a file that is cut off for one that ends."""
    import zstandard

    frame = None
    while chunk := file.read(_CHUNK):
        while chunk:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            try:
                yield frame.decompress(chunk)
            except zstandard.ZstdError as error:
                raise _DamagedError(str(error)) from error
            chunk, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
    if frame:
        raise _DamagedError("it is cut off")


def _walk(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(here) / name for name in sorted(files) if not name.startswith("."))
