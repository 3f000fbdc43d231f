"""Documents of plain text, one after the other: from files, and to a file."""

import gzip
import io
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from moshi_zoo.data.text_documents import PlainText
from moshi_zoo.data.text_files import LineReport, find_text

_PACKINGS = (".jsonl", ".jsonl.gz", ".jsonl.zst")


def documents(sources: Iterable[str | Path], report: LineReport) -> Iterator[str]:
    """The texts of files, folders and patterns, one after the other.

    Args:
        sources: as of :func:`find_text`; all are looked for before the first is read.
        report: is told of what cannot be read.

    Raises:
        ValueError: if a source has no text.
    """
    paths = [path for source in sources for path in find_text(source)]
    return (text for path in paths for text in PlainText().read(path, report))


def check_output(path: Path) -> None:
    """Refuse what :func:`write_documents` cannot write.

    Raises:
        ValueError: if the name does not end as it must.
    """
    if not path.name.endswith(_PACKINGS):
        raise ValueError(f"{path}: write to a name that ends in {', '.join(_PACKINGS)}")


def write_documents(path: Path, texts: Iterable[str]) -> None:
    """Write ``{"text": ...}`` a line; the file appears when it is whole. The same texts give the same bytes.

    Args:
        path: ends in .jsonl, .jsonl.gz or .jsonl.zst.
        texts: taken one by one.

    Raises:
        ValueError: if the name ends otherwise.
    """
    check_output(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file, _packed(file, path.suffix) as packed:
            for text in texts:
                packed.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _packed(file: IO[bytes], suffix: str) -> Iterator[IO[str]]:
    if suffix == ".gz":
        packed = gzip.GzipFile("", "wb", fileobj=file, mtime=0)  # no name and no time inside
    elif suffix == ".zst":
        import zstandard

        packed = zstandard.ZstdCompressor(level=9).stream_writer(file, closefd=False)
    else:
        packed = file
    text = io.TextIOWrapper(packed, encoding="utf-8", errors="surrogatepass", newline="\n")
    try:
        yield text
    finally:
        text.close()
