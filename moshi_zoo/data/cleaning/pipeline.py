"""Steps in a row, and the report of what they took away and why. Documents pass one by one: memory stays bounded."""

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from moshi_zoo.data.cleaning.step import Cut, Step

_SHOWN = 200  # characters of an example
_EXAMPLES = 5


@dataclass
class Reason:
    """Why something went.

    Args:
        pieces: how many cuts (lines, paragraphs or documents).
        characters: in them.
        examples: some of them, drawn evenly, shortened.
    """

    pieces: int = 0
    characters: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, text: str, rng: random.Random) -> None:
        """Count a cut; each has the same chance to become an example (reservoir sampling)."""
        self.pieces += 1
        self.characters += len(text)
        place = len(self.examples) if len(self.examples) < _EXAMPLES else rng.randrange(self.pieces)
        if place < _EXAMPLES:
            self.examples[place : place + 1] = [text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"]


@dataclass
class StepReport:
    """What a step did: documents and characters that came and left, and why the others did not."""

    name: str
    documents_in: int = 0
    documents_out: int = 0
    characters_in: int = 0
    characters_out: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, Reason] = field(default_factory=dict)


class Pipeline:
    """Cleans documents step by step.

    Args:
        steps: applied in this order.
        seed: of the draw of examples.

    Attributes:
        reports: one for each step, up to date with what has passed.
    """

    def __init__(self, steps: Sequence[Step], *, seed: int = 0):
        self.steps = list(steps)
        self.reports = [StepReport(step.name) for step in self.steps]
        self._rng = random.Random(seed)

    def __call__(self, documents: Iterable[str]) -> Iterator[str]:
        """What is left of each document of which something is left."""
        return (text for document in documents if (text := self._cleaned(document)) is not None)

    def as_json(self, **context: Any) -> str:
        """The report: the context, then each step with its settings, counts, reasons and examples."""
        for report, step in zip(self.reports, self.steps, strict=True):
            report.settings = step.settings()
        return json.dumps({**context, "steps": [asdict(r) for r in self.reports]}, indent=1, ensure_ascii=False)

    def table(self) -> list[list[str]]:
        """The report for people: rows of cells, the head first; a row for each step and one for each of its reasons."""
        rows = [["step", "documents", "characters", "kept", "took out", "why"]]
        for report in self.reports:
            kept = f"{100 * report.characters_out / report.characters_in:.1f} %" if report.characters_in else ""
            rows.append([report.name, f"{report.documents_in}", f"{report.characters_in}", kept, "", ""])
            rows += [["", "", "", "", f"{r.pieces}", why] for why, r in sorted(report.reasons.items(), key=_most_first)]
        last = self.reports[-1]
        return [*rows, ["left", f"{last.documents_out}", f"{last.characters_out}", "", "", ""]]

    def _cleaned(self, text: str) -> str | None:
        for step, report in zip(self.steps, self.reports, strict=True):
            report.documents_in += 1
            report.characters_in += len(text)
            cleaned = step(text)
            for cut in cleaned.cuts:
                self._note(report, cut)
            if cleaned.text is None:
                return None
            text = cleaned.text
            report.documents_out += 1
            report.characters_out += len(text)
        return text

    def _note(self, report: StepReport, cut: Cut) -> None:
        report.reasons.setdefault(cut.reason, Reason()).add(cut.text, self._rng)


def _most_first(item: tuple[str, Reason]) -> int:
    return -item[1].pieces
