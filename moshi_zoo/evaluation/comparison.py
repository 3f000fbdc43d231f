"""Results of the same suite for several models, side by side: a table of ablations."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moshi_zoo.evaluation.bootstrap import Interval
from moshi_zoo.evaluation.measurement import Figure, Measure
from moshi_zoo.evaluation.presentation import Table, cell, heading
from moshi_zoo.registry import unknown

_FIRST = 6  # measures that are shown unless others are asked for


@dataclass(frozen=True)
class Result:
    """Figures of one model.

    Args:
        name: of the row.
        suite: which measured it.
        data: what it was measured on.
        figures: of everything together, by the measure's name.
    """

    name: str
    suite: str
    data: Mapping[str, Any]
    figures: Mapping[str, Figure]


def read_result(folder: Path) -> Result:
    """Read what a suite has written.

    Args:
        folder: with a results.json; its name becomes that of the row.

    Raises:
        ValueError: if there is none, or its suite gives no figures of everything together.
    """
    file = folder / "results.json"
    if not file.is_file():
        raise ValueError(f"{folder} has no results.json: give folders that `evaluate duplex`, asr or tts has written")
    try:
        content = json.loads(file.read_bytes())
        whole = next(group for group in content["groups"] if group["name"] == "all")
        figures = {entry["name"]: _figure(entry) for entry in whole["figures"]}
        return Result(folder.name, content["suite"], content["data"], figures)
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise ValueError(f"{file} is not what `evaluate duplex`, asr or tts writes ({error!r})") from error


def side_by_side(results: Sequence[Result], measures: Sequence[str] = ()) -> Table:
    """A row for each model, a column for each measure.

    Args:
        results: of one suite, on the same dialogues; their codes may be of different codecs.
        measures: names; none: the first few of the first model.

    Raises:
        ValueError: if the results are of different suites or data, or a measure is not among them.
    """
    first, *others = results
    for other in others:
        if _measured_on(other) != _measured_on(first):
            raise ValueError(
                f"{first.name} was measured by {first.suite} on {dict(first.data)}, {other.name} by {other.suite} on "
                f"{dict(other.data)}: compare what was measured alike"
            )
    known = {name: figure for result in results for name, figure in result.figures.items()}
    chosen = list(measures) or list(first.figures)[:_FIRST]
    for name in chosen:
        if name not in known:
            raise ValueError(unknown("measure", name, known))
    head = [first.suite, *(heading(known[name]) for name in chosen)]
    rows = [[r.name, *(cell(r.figures[name]) if name in r.figures else "-" for name in chosen)] for r in results]
    return [head, *rows]


def _measured_on(result: Result) -> tuple[str, Mapping[str, Any]]:
    return result.suite, {name: value for name, value in result.data.items() if name != "stores"}


def _figure(entry: Mapping[str, Any]) -> Figure:
    measure = Measure(entry["name"], entry["title"], entry["unit"], entry["better"])
    value, low, high = (float("nan") if entry.get(k) is None else entry[k] for k in ("value", "low", "high"))
    return Figure(measure, value, Interval(low, high) if "low" in entry else None, entry["count"])
