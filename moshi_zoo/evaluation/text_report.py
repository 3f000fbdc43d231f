"""The results of the text suite as files: results.json and report.md."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from moshi_zoo.evaluation.presentation import (
    Context,
    Table,
    as_markdown_table,
    cell,
    figure_entry,
    heading,
    listed,
    without_nan,
)
from moshi_zoo.evaluation.text_suite import GroupResult, TextReport


def as_json(report: TextReport, context: Context) -> str:
    """All of it: context, settings, counts, figures with intervals, results of each group, and what was skipped."""
    content = {
        "suite": "text",
        **context,
        "settings": asdict(report.settings),
        "counts": report.counts,
        "took_s": report.took,
        "figures": [figure_entry(figure) for figure in report.figures],
        "minimal_pairs": [_entry(result) for result in report.pairs],
        "multiple_choice": [_entry(result) for result in report.choices],
        "skipped": report.skipped,
    }
    return json.dumps(without_nan(content), indent=1, ensure_ascii=False)


def as_markdown(report: TextReport, context: Context) -> str:
    """The report for people."""
    parts = [
        "# Text evaluation",
        "\n".join(f"- {what}: {listed(entries)}" for what, entries in context.items()),
        f"{_scored(report.counts)}In brackets: 95 % intervals, from {report.settings.resamples} resamples.",
    ]
    for title, table in tables(report).items():
        parts += [f"## {title}", as_markdown_table(table)]
    if report.skipped:
        parts += ["## Not measured", "\n".join(f"- {what}: {why}" for what, why in report.skipped.items())]
    return "\n\n".join(parts) + "\n"


def tables(report: TextReport) -> dict[str, Table]:
    """Title -> table, of those that have rows."""
    found = {
        "Likelihood": [["", ""], *([heading(figure), cell(figure)] for figure in report.figures)],
        "Minimal pairs": _of_groups(report.pairs),
        "Multiple choice": _of_groups(report.choices),
    }
    return {title: table for title, table in found.items() if len(table) > 1}


def _scored(counts: Mapping[str, int]) -> str:
    if not counts["documents"]:
        return ""
    learned = f"; n-grams learned from {counts['baseline_bytes']} bytes" if counts["baseline_bytes"] else ""
    return f"{counts['documents']} documents, {counts['bytes']} bytes, {counts['tokens']} tokens{learned}. "


def _of_groups(results: Sequence[GroupResult]) -> Table:
    if not results:
        return []
    columns = [heading(figure) for figure in results[0].figures]
    rows = [[r.group, *map(cell, r.figures), f"{100 * r.chance:.1f} %", str(r.figures[0].count)] for r in results]
    return [["", *columns, "chance", "from"], *rows]


def _entry(result: GroupResult) -> dict[str, Any]:
    return {
        "group": result.group,
        "chance": result.chance,
        "figures": [figure_entry(figure) for figure in result.figures],
    }
