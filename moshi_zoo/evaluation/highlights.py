"""The few figures of an evaluation that a model card shows, read from its results.json."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moshi_zoo.evaluation.bootstrap import Interval
from moshi_zoo.evaluation.measurement import Figure, Measure
from moshi_zoo.evaluation.presentation import Table, as_markdown_table, cell, heading
from moshi_zoo.registry import unknown

_WHOLE = "all"  # the group of everything together
_ITEMS = ("clips", "conversations", "recordings", "texts")  # results of single items


@dataclass(frozen=True)
class Highlights:
    """Chosen figures of an evaluation.

    Args:
        suite: which.
        command: that gave them.
        data: what they were measured on: entry -> plain value.
        sha256s: of the weights that were measured: the model's, and its adapter's.
        table: a row for each figure.
    """

    suite: str
    command: str
    data: dict[str, Any]
    sha256s: frozenset[str]
    table: Table

    @property
    def markdown(self) -> str:
        """The table in Markdown."""
        return as_markdown_table(self.table)


def highlights(results: Path, measures: Sequence[str]) -> Highlights:
    """Read some figures of everything together, at all codebooks.

    Args:
        results: the folder that a suite of ``evaluate`` has written, or its results.json.
        measures: names, such as stoi; all of that name are shown, such as what is there for comparison.

    Raises:
        ValueError: if there is no such file or measure, or no suite has written it.
    """
    file = results / "results.json" if results.is_dir() else results
    if not file.is_file():
        raise ValueError(f"{file} does not exist: give a folder that a suite of `evaluate` has written")
    try:
        content = json.loads(file.read_bytes())
        found = list(_figures(content, ()))
        sha256s = {content[key]["sha256"] for key in ("model", "adapter") if key in content}
        suite, command, data = content["suite"], content["run"]["command"], content["data"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is not what a suite of `evaluate` writes ({error!r})") from error
    rows = []
    for name in measures:
        chosen = [(where, figure) for where, figure in found if figure.measure.name == name]
        if not chosen:
            raise ValueError(f"{file}: {unknown('measure', name, {f.measure.name for _, f in found})}")
        most = max(f.measure.num_codebooks or 0 for _, f in chosen)
        rows += [
            [heading(figure) + _of(where, name), cell(figure), str(figure.count)]
            for where, figure in chosen
            if (figure.measure.num_codebooks or 0) == most
        ]
    return Highlights(suite, command, data, frozenset(sha256s), [["", "", "from"], *rows])


def _of(where: tuple[str, ...], name: str) -> str:
    said = ", ".join(word for word in where if word not in (name, _WHOLE))
    return f" ({said})" if said else ""


def _figures(content: Any, where: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Figure]]:
    """All figures, each with what it is a figure of, but those of single items and of parts of the data."""
    if isinstance(content, list):
        for entry in content:
            yield from _figures(entry, where)
    elif isinstance(content, dict) and {"name", "title", "value"} <= content.keys():
        if content.get("level") is None and content["value"] is not None:
            yield where, _figure(content)
    elif isinstance(content, dict) and content.get("name", content.get("group", _WHOLE)) == _WHOLE:
        for key, entry in content.items():
            if key not in _ITEMS:
                yield from _figures(entry, where if key in ("figures", "groups") else (*where, key.replace("_", " ")))


def _figure(entry: dict[str, Any]) -> Figure:
    measure = Measure(entry["name"], entry["title"], entry["unit"], entry["better"], entry.get("num_codebooks"))
    interval = Interval(entry["low"], entry["high"]) if entry.get("low") is not None else None
    return Figure(measure, entry["value"], interval, entry["count"])
