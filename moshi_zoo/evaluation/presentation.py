"""Figures as people and machines read them: cells, tables, entries of JSON. Shared by the reports of all suites."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from moshi_zoo.evaluation.measurement import SHARE, Figure

Context = Mapping[str, Mapping[str, Any]]
"""Where the figures come from, for people and machines: heading -> entry -> plain value."""

Table = list[list[str]]
"""Rows of cells, the head first."""


def as_markdown_table(table: Table) -> str:
    """A table in Markdown, aligned, so that it also reads as text."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    rule = ["-" * width for width in widths]
    lines = (
        [cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in (table[0], rule, *table[1:])
    )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def heading(figure: Figure) -> str:
    """Title, unit, and which direction is better."""
    measure = figure.measure
    unit = f", {measure.unit}" if measure.unit not in ("", SHARE) else ""
    return measure.title + unit + {"higher": " ↑", "lower": " ↓", "neither": ""}[measure.better]


def cell(figure: Figure) -> str:
    """Value and interval."""
    share = figure.measure.unit == SHARE
    shown = [figure.value] if figure.interval is None else [figure.value, figure.interval.low, figure.interval.high]
    value, *interval = (f"{100 * v:.1f}" if share else _number(v) for v in shown)
    return value + (" %" if share else "") + (f" [{interval[0]}, {interval[1]}]" if interval else "")


def listed(entries: Mapping[str, Any]) -> str:
    """Entries of a context in a line, without what is not known."""
    return ", ".join(f"{name} {value}" for name, value in entries.items() if value is not None)


def figure_entry(figure: Figure) -> dict[str, Any]:
    """A figure for JSON."""
    interval = {} if figure.interval is None else asdict(figure.interval)
    return {**asdict(figure.measure), "value": figure.value, **interval, "count": figure.count}


def without_nan(content: Any) -> Any:
    """The content with null for what is not a number: JSON has none."""
    if isinstance(content, Mapping):
        return {key: without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _number(value: float) -> str:
    """Three digits, never fewer than those before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
