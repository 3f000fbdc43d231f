"""The results as files: results.json, report.md with its tables, pictures."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from moshi_zoo.evaluation.codec_suite import CodecReport
from moshi_zoo.evaluation.measurement import SHARE, ClipRow, Figure
from moshi_zoo.metrics.pictures import codebook_picture, curves_picture, spectrogram_picture

Context = Mapping[str, Mapping[str, Any]]
"""Where the figures come from, for people and machines: heading -> entry -> plain value."""


def as_json(report: CodecReport, context: Context) -> str:
    """All of it: context, settings, figures with intervals, what was skipped, and the values of each clip.

    What is not a number (a measure that is undefined on a clip) is null.
    """
    content = {
        "suite": "codec",
        **context,
        "codec": report.codec,
        "settings": asdict(report.settings),
        "seconds_of_sound": sum(row.seconds for row in report.clips),
        "took_s": report.took,
        "figures": [_figure(figure) for figure in report.figures],
        "skipped": report.skipped,
        "clips": [_clip(row) for row in report.clips],
    }
    return json.dumps(_without_nan(content), indent=1, ensure_ascii=False)


def as_markdown(report: CodecReport, context: Context) -> str:
    """The report for people."""
    minutes = sum(row.seconds for row in report.clips) / 60
    parts = [
        "# Codec evaluation",
        "\n".join(f"- {what}: {_listed(entries)}" for what, entries in context.items()),
        f"{len(report.clips)} clips, {minutes:.1f} minutes. In brackets: 95 % intervals, from "
        f"{report.settings.resamples} resamples of the clips.",
    ]
    for title, table in tables(report).items():
        parts += [f"## {title}", _markdown(table)]
    if report.skipped:
        parts += ["## Not measured", "\n".join(f"- {what}: {why}" for what, why in report.skipped.items())]
    return "\n\n".join(parts) + "\n"


def write_pictures(report: CodecReport, folder: Path) -> None:
    """Use of the codebooks, measures over the number of codebooks, and spectrograms of the sounds."""
    codebook_picture(report.counts).save(folder / "codebooks.png")
    curves: dict[str, list[tuple[float, float]]] = {}
    for figure in report.figures:
        if figure.measure.num_codebooks is not None:
            curves.setdefault(figure.measure.title, []).append((figure.measure.num_codebooks, figure.value))
    if curves:
        curves_picture(curves).save(folder / "over_codebooks.png")
    sample_rate = int(report.codec["sample_rate"])
    for i, sounds in enumerate(report.sounds):
        most, least = max(sounds.decoded), min(sounds.decoded)
        rows = {"original": sounds.original, **{_codebooks(k): sounds.decoded[k] for k in dict.fromkeys((most, least))}}
        spectrogram_picture(rows, sample_rate).save(folder / f"{i}_spectrogram.png")


Table = list[list[str]]


def tables(report: CodecReport) -> dict[str, Table]:
    """Title -> rows of cells, the head first."""
    of_levels = [f for f in report.figures if f.measure.level is not None]
    others = [f for f in report.figures if f.measure.level is None]
    names = {f.measure.name for f in others if f.measure.num_codebooks is not None}
    once = [f for f in others if f.measure.name not in names]
    found = {
        "Quality": _pivot([f for f in others if f.measure.name in names], _heading, _setting),
        f"Codebooks, over {int(report.counts[0].sum())} frames": _pivot(of_levels, _setting, _heading),
        "Units, bitrate and speed": [["", "", "from"], *([_heading(f), _cell(f), str(f.count)] for f in once)],
    }
    return {title: table for title, table in found.items() if len(table) > 1}


def _pivot(figures: Sequence[Figure], row: Callable[[Figure], str], column: Callable[[Figure], str]) -> Table:
    columns = list(dict.fromkeys(column(f) for f in sorted(figures, key=lambda f: f.measure.num_codebooks or 0)))
    rows = list(dict.fromkeys(row(f) for f in figures))
    cells = {(row(f), column(f)): _cell(f) for f in figures}
    return [["", *columns], *([name, *(cells.get((name, c), "") for c in columns)] for name in rows)]


def _markdown(table: Table) -> str:
    """Aligned, so that it also reads as text."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    rule = ["-" * width for width in widths]
    lines = (
        [cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in (table[0], rule, *table[1:])
    )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _heading(figure: Figure) -> str:
    measure = figure.measure
    unit = f", {measure.unit}" if measure.unit not in ("", SHARE) else ""
    return measure.title + unit + {"higher": " ↑", "lower": " ↓", "neither": ""}[measure.better]


def _setting(figure: Figure) -> str:
    level, k = figure.measure.level, figure.measure.num_codebooks
    if level is not None:
        return f"level {level}"
    return "original" if k is None else _codebooks(k)


def _codebooks(k: int) -> str:
    return "1 codebook" if k == 1 else f"{k} codebooks"


def _cell(figure: Figure) -> str:
    share = figure.measure.unit == SHARE
    shown = [figure.value] if figure.interval is None else [figure.value, figure.interval.low, figure.interval.high]
    value, *interval = (f"{100 * v:.1f}" if share else _number(v) for v in shown)
    return value + (" %" if share else "") + (f" [{interval[0]}, {interval[1]}]" if interval else "")


def _number(value: float) -> str:
    """Three digits, never fewer than those before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _listed(entries: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in entries.items() if value is not None)


def _figure(figure: Figure) -> dict[str, Any]:
    interval = {} if figure.interval is None else asdict(figure.interval)
    return {**asdict(figure.measure), "value": figure.value, **interval, "count": figure.count}


def _clip(row: ClipRow) -> dict[str, Any]:
    values = {measure.key: value.value for measure, value in row.values.items()}
    return {"name": row.name, "speaker": row.speaker, "seconds": row.seconds, "values": values}


def _without_nan(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
