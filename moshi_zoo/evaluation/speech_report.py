"""The results of the ASR and TTS suites as files: results.json, report.md."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from moshi_zoo.evaluation.asr_suite import ALL, AsrReport
from moshi_zoo.evaluation.measurement import Figure
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
from moshi_zoo.evaluation.tts_suite import TtsReport


def asr_as_json(report: AsrReport, context: Context) -> str:
    """All of it: context, settings, figures of each voice, and each transcript."""
    content = {
        "suite": "asr",
        **context,
        "settings": asdict(report.settings),
        "took_s": report.took,
        "groups": [{"name": n, "figures": [figure_entry(f) for f in figures]} for n, figures in report.groups.items()],
        "recordings": [
            {"name": row.name, "voice": row.voice, "said": row.said, "heard": row.heard} for row in report.rows
        ],
    }
    return json.dumps(without_nan(content), indent=1, ensure_ascii=False)


def asr_as_markdown(report: AsrReport, context: Context) -> str:
    """The report for people."""
    columns = list(dict.fromkeys(heading(f) for figures in report.groups.values() for f in figures))
    rows: Table = [["", *columns, "recordings"]]
    for name, figures in report.groups.items():
        by_heading = {heading(figure): cell(figure) for figure in figures}
        count = sum(name in (ALL, row.voice) for row in report.rows)
        rows.append([name, *(by_heading.get(column, "") for column in columns), str(count)])
    samples: Table = [["said", "heard"], *([row.said, row.heard] for row in report.rows[:10])]
    amount = f"{len(report.rows)} recordings, {report.seconds / 60:.1f} minutes"
    return _markdown(
        "Recognition", context, amount, {"Voices": rows, "Transcripts": samples}, report.settings.resamples
    )


def tts_as_json(report: TtsReport, context: Context) -> str:
    """All of it: context, settings, figures, and what was heard of each text."""
    content = {
        "suite": "tts",
        **context,
        "settings": asdict(report.settings),
        "took_s": report.took,
        "figures": [figure_entry(figure) for figure in report.said],
        "as_written": [figure_entry(figure) for figure in report.written],
        "texts": [{"text": row.text, "heard": row.heard, "seconds_a_word": row.seconds_a_word} for row in report.rows],
    }
    return json.dumps(without_nan(content), indent=1, ensure_ascii=False)


def tts_as_markdown(report: TtsReport, context: Context) -> str:
    """The report for people."""
    figures = beside(report.said, report.written)
    samples: Table = [["text", "heard"], *([row.text, row.heard] for row in report.rows[:10])]
    amount = f"{len(report.rows)} texts"
    tables = {"Reading aloud": figures, "Texts": samples}
    return _markdown("Reading aloud", context, amount, tables, report.settings.resamples)


def beside(said: Sequence[Figure], written: Sequence[Figure]) -> Table:
    """Figures of Moshi beside those of the dialogues as they were written."""
    own, other = ({figure.measure: figure for figure in figures} for figures in (said, written))
    rows = [
        [
            heading(own.get(measure) or other[measure]),
            cell(own[measure]) if measure in own else "",
            cell(other[measure]) if measure in other else "",
            str((own.get(measure) or other[measure]).count),
        ]
        for measure in dict.fromkeys([*own, *other])
    ]
    return [["", "Moshi", "as written", "from"], *rows]


def _markdown(title: str, context: Context, amount: str, tables: Mapping[str, Table], resamples: int) -> str:
    parts: list[Any] = [
        f"# {title}",
        "\n".join(f"- {what}: {listed(entries)}" for what, entries in context.items()),
        f"{amount}. In brackets: 95 % intervals, from {resamples} resamples.",
    ]
    for name, table in tables.items():
        parts += [f"## {name}", as_markdown_table(table)]
    return "\n\n".join(parts) + "\n"
