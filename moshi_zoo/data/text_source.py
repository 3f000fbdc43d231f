"""Where text comes from: files, or the embedded dialogues."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

from moshi_zoo.data.cache import cache_folder, made_once
from moshi_zoo.data.dialogues import FAMILIES, dialogues, named_families
from moshi_zoo.data.text_documents import DocumentKind, Encoded
from moshi_zoo.data.text_files import LineReport, find_text
from moshi_zoo.data.text_store import signature
from moshi_zoo.tokenizer import FILE, Tokenizer

DIALOGUES = "dialogues"
"""The source that needs no files; ``dialogues:echo,sums`` are those about some things only."""

_TOKENIZER_VERSION = 1  # of what Tokenizer.train makes of the same text
_DIALOGUES_TO_LEARN = 4000  # for a tokenizer; they have all the words there are


def weighted(source: str | Mapping[str, float], name: str = "source") -> dict[str, float]:
    """Sources and their weights.

    Raises:
        ValueError: if there is none, or a weight is not positive.
    """
    sources = {source: 1.0} if isinstance(source, str) else dict(source)
    if not sources or not all(weight > 0 for weight in sources.values()):
        raise ValueError(f"{name} is {source!r}; it must name a source, or map sources to positive weights")
    return sources


def families_of(source: str) -> tuple[str, ...] | None:
    """What the embedded dialogues of a source are about; None if the source is files.

    Raises:
        ValueError: if there are none about that.
    """
    name, _, families = source.partition(":")
    if name != DIALOGUES or (source != DIALOGUES and Path(source).exists()):
        return None
    return named_families(families) if families else FAMILIES


def files_of(sources: Iterable[str]) -> dict[str, list[Path]]:
    """The files of each source; the embedded dialogues have none.

    Raises:
        ValueError: if a source has none.
    """
    return {source: [] if families_of(source) else find_text(source) for source in sources}


def read_texts(files: Mapping[str, list[Path]], kind: DocumentKind, report: LineReport) -> Iterator[str]:
    """All text of sources, for a tokenizer to learn from; of the dialogues some thousands.

    Args:
        files: Of each source.
        kind: How to read them.
        report: Takes note of bad lines.
    """
    for source, paths in files.items():
        if families_of(source):
            yield from _dialogue_texts(kind)
        for path in paths:
            yield from map(kind.text, kind.read(path, report))


def encoded_dialogues(
    kind: DocumentKind,
    tokenizer: Tokenizer,
    split: Literal["train", "valid", "test"],
    *,
    seed: int,
    families: Sequence[str] = FAMILIES,
) -> Iterator[Encoded]:
    """Embedded dialogues without end, as documents."""
    for dialogue in dialogues(seed, split, families=families):
        yield kind.encode([kind.from_dialogue(dialogue)], tokenizer)[0]


class DialogueWriter:
    """Fresh dialogues for each row.

    Args:
        kind: What documents they become.
        tokenizer: Makes the tokens.
        seed: Of all of them.
        families: What they are about.
    """

    def __init__(self, kind: DocumentKind, tokenizer: Tokenizer, seed: int, families: Sequence[str] = FAMILIES):
        self.kind, self.tokenizer, self.seed, self.families = kind, tokenizer, seed, families

    def __call__(self, row: int) -> Iterator[Encoded]:
        """The dialogues of a row, without end."""
        digest = hashlib.blake2b(f"{self.seed}/{row}".encode(), digest_size=8).digest()
        seed = int.from_bytes(digest)
        return encoded_dialogues(self.kind, self.tokenizer, "train", seed=seed, families=self.families)


def trained_tokenizer(files: Mapping[str, list[Path]], kind: DocumentKind, *, vocab_size: int) -> Tokenizer:
    """A tokenizer that has learned from all sources alike; trained at the first call, and again if a file changes.

    Args:
        files: Of each source.
        kind: How to read them.
        vocab_size: The most ids it may have.

    Raises:
        ValueError: if they do not do for one.
    """
    spoken = list(_dialogue_texts(kind)) if any(map(families_of, files)) else []
    signatures = [signature(paths) for paths in files.values()]
    key = json.dumps([_TOKENIZER_VERSION, kind.name, kind.version, vocab_size, spoken, signatures])

    def train(folder: Path) -> None:
        texts = read_texts(files, kind, LineReport(max_share=1.0))  # who tokenises them will count the bad lines
        Tokenizer.train(texts, vocab_size=vocab_size, size="at most").save(folder / FILE)

    name = f"tokenizer-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    return Tokenizer.load(made_once(cache_folder() / name, train))


def _dialogue_texts(kind: DocumentKind) -> Iterator[str]:
    return (kind.text(kind.from_dialogue(dialogue)) for dialogue in islice(dialogues(), _DIALOGUES_TO_LEARN))
