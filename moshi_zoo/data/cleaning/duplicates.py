"""Steps that take out lines or paragraphs: those seen before, and blocks like boilerplate (Moshi paper, 4.1)."""

import re
from collections.abc import Sequence
from typing import Any, Literal, Protocol

from moshi_zoo.data.cleaning.bloom import BloomFilter, fnv1a_64
from moshi_zoo.data.cleaning.classifier import TextClassifier
from moshi_zoo.data.cleaning.step import Cleaned, Cut, dropped

MIN_RUN = 3
"""Boilerplate comes in blocks: a single flagged line is more often a mistake of the classifier (Moshi paper, 4.1)."""

Unit = Literal["line", "paragraph"]
_BREAKS = {"line": re.compile(r"\n"), "paragraph": re.compile(r"\n[^\S\n]*\n\s*")}
_JOINTS = {"line": "\n", "paragraph": "\n\n"}


class Flags(Protocol):
    """Marks the pieces of a document that should go."""

    reason: str

    def __call__(self, pieces: Sequence[str]) -> list[bool]:
        """Whether to mark each piece; none is blank."""
        ...

    def settings(self) -> dict[str, Any]:
        """As of a step."""
        ...


class SeenBefore:
    """Marks what occurred before, in this document or an earlier one; spaces at the ends and runs of them do not count.

    Args:
        seen: remembers.
        min_chars: shorter pieces, such as *Yes.* in a dialogue, are never marked.
    """

    reason = "seen before"

    def __init__(self, seen: BloomFilter, *, min_chars: int = 1):
        self.seen, self.min_chars = seen, min_chars

    def __call__(self, pieces: Sequence[str]) -> list[bool]:
        """Mark and remember."""
        plain = [" ".join(piece.split()) for piece in pieces]
        long_enough = [piece.encode("utf-8", "surrogatepass") for piece in plain if len(piece) >= self.min_chars]
        marks = iter([self.seen.add(value) for value in fnv1a_64(long_enough)])
        return [len(piece) >= self.min_chars and next(marks) for piece in plain]

    def settings(self) -> dict[str, Any]:
        """Size and fill of the filter, with the share of new pieces it may have taken for old ones."""
        return {
            "min_chars": self.min_chars,
            "bits": self.seen.num_bits,
            "hashes": self.seen.num_hashes,
            "remembered": self.seen.num_items,
            "expected_false_positives": self.seen.false_positives,
        }


class LooksLike:
    """Marks what a classifier takes for one of some labels.

    Args:
        classifier: judges each piece.
        labels: the unwanted ones.
        threshold: their probability, from which on a piece is marked.
    """

    def __init__(self, classifier: TextClassifier, labels: Sequence[str], *, threshold: float = 0.5):
        self.classifier, self.labels, self.threshold = classifier, tuple(labels), threshold
        self.reason = f"looks like {' or '.join(labels)}"

    def __call__(self, pieces: Sequence[str]) -> list[bool]:
        """Mark by what each piece says alone."""
        found = [self.classifier.probabilities(piece) for piece in pieces]
        return [sum(f.get(label, 0.0) for label in self.labels) >= self.threshold for f in found]

    def settings(self) -> dict[str, Any]:
        """Which classifier, and how it decides."""
        return {"classifier": type(self.classifier).__name__, "labels": list(self.labels), "threshold": self.threshold}


class DropPieces:
    """Takes out lines or paragraphs that are marked.

    Args:
        name: of the step.
        flags: marks them.
        unit: what a piece is. Blank lines between paragraphs become one.
        min_run: only runs of so many marked pieces go; blank lines neither count nor break a run.
        min_kept: a document that would keep a smaller share of its characters than this is dropped as a whole.
    """

    def __init__(self, name: str, flags: Flags, *, unit: Unit, min_run: int = 1, min_kept: float = 0.0):
        if min_run < 1 or not 0 <= min_kept <= 1:
            raise ValueError(f"{name}: min_run is {min_run} and min_kept {min_kept:g}; at least 1, and between 0 and 1")
        self.name, self.flags, self.unit, self.min_run, self.min_kept = name, flags, unit, min_run, min_kept

    def __call__(self, text: str) -> Cleaned:
        """Clean a document."""
        pieces = _BREAKS[self.unit].split(text)
        solid = [i for i, piece in enumerate(pieces) if piece.strip()]
        marked = self.flags([pieces[i] for i in solid])
        gone = {i for start, end in _runs(marked, self.min_run) for i in solid[start:end]}
        if not gone:
            return Cleaned(text)
        cuts = tuple(Cut(f"{self.unit} {self.flags.reason}", pieces[i]) for i in sorted(gone))
        left = _JOINTS[self.unit].join(piece for i, piece in enumerate(pieces) if i not in gone).strip()
        if not left:
            return Cleaned(None, cuts)
        if len(left) < self.min_kept * len(text):
            return dropped(f"most {self.unit}s {self.flags.reason}", text)
        return Cleaned(left, cuts)

    def settings(self) -> dict[str, Any]:
        """Of the step and of what marks."""
        return {"min_run": self.min_run, "min_kept": self.min_kept, **self.flags.settings()}


def _runs(marked: Sequence[bool], shortest: int) -> list[tuple[int, int]]:
    """Where runs of marks begin and end."""
    edges = [i for i in range(len(marked) + 1) if (marked[i - 1] if i else False) != (i < len(marked) and marked[i])]
    return [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if end - start >= shortest]
