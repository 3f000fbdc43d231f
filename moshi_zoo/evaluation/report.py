"""The results as files: results.json, report.md with its tables, pictures."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from moshi_zoo.evaluation.codec_suite import CodecReport
from moshi_zoo.evaluation.measurement import ClipRow, Figure
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
from moshi_zoo.metrics.pictures import codebook_picture, curves_picture, spectrogram_picture


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
        "figures": [figure_entry(figure) for figure in report.figures],
        "skipped": report.skipped,
        "clips": [_clip(row) for row in report.clips],
    }
    return json.dumps(without_nan(content), indent=1, ensure_ascii=False)


def as_markdown(report: CodecReport, context: Context) -> str:
    """The report for people."""
    minutes = sum(row.seconds for row in report.clips) / 60
    parts = [
        "# Codec evaluation",
        "\n".join(f"- {what}: {listed(entries)}" for what, entries in context.items()),
        f"{len(report.clips)} clips, {minutes:.1f} minutes. In brackets: 95 % intervals, from "
        f"{report.settings.resamples} resamples of the clips.",
    ]
    for title, table in tables(report).items():
        parts += [f"## {title}", as_markdown_table(table)]
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


def tables(report: CodecReport) -> dict[str, Table]:
    """Title -> rows of cells, the head first."""
    of_levels = [f for f in report.figures if f.measure.level is not None]
    others = [f for f in report.figures if f.measure.level is None]
    names = {f.measure.name for f in others if f.measure.num_codebooks is not None}
    once = [f for f in others if f.measure.name not in names]
    found = {
        "Quality": _pivot([f for f in others if f.measure.name in names], heading, _setting),
        f"Codebooks, over {int(report.counts[0].sum())} frames": _pivot(of_levels, _setting, heading),
        "Units, bitrate and speed": [["", "", "from"], *([heading(f), cell(f), str(f.count)] for f in once)],
    }
    return {title: table for title, table in found.items() if len(table) > 1}


def _pivot(figures: Sequence[Figure], row: Callable[[Figure], str], column: Callable[[Figure], str]) -> Table:
    columns = list(dict.fromkeys(column(f) for f in sorted(figures, key=lambda f: f.measure.num_codebooks or 0)))
    rows = list(dict.fromkeys(row(f) for f in figures))
    cells = {(row(f), column(f)): cell(f) for f in figures}
    return [["", *columns], *([name, *(cells.get((name, c), "") for c in columns)] for name in rows)]


def _setting(figure: Figure) -> str:
    level, k = figure.measure.level, figure.measure.num_codebooks
    if level is not None:
        return f"level {level}"
    return "original" if k is None else _codebooks(k)


def _codebooks(k: int) -> str:
    return "1 codebook" if k == 1 else f"{k} codebooks"


def _clip(row: ClipRow) -> dict[str, Any]:
    values = {measure.key: value.value for measure, value in row.values.items()}
    return {"name": row.name, "speaker": row.speaker, "seconds": row.seconds, "values": values}
