"""What was measured of an item, and the figures of many: means of values, quantiles of what happens now and then."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from moshi_zoo.evaluation.bootstrap import Floats, interval_of, resampled_counts
from moshi_zoo.evaluation.measurement import ClipRow, Figure, Measure, Value, figures_over_clips

QUANTILES = {"median": 0.5, "p90": 0.9}
"""Of events: what is added to the measure's name -> which."""


@dataclass(frozen=True)
class Measured:
    """What was measured of an item, such as a conversation.

    Args:
        values: of measures that have one value in each item.
        events: values of what happens some times in an item, such as the seconds to each reply.
    """

    values: Mapping[Measure, Value] = field(default_factory=dict)
    events: Mapping[Measure, Sequence[float]] = field(default_factory=dict)

    def __or__(self, other: "Measured") -> "Measured":
        return Measured({**self.values, **other.values}, {**self.events, **other.events})


def share(hits: float, among: float) -> Value:
    """A share that counts by its denominator; of nothing, it is undefined."""
    return Value(hits / among if among else float("nan"), among)


def figures_of(measured: Sequence[Measured], *, resamples: int, seed: int) -> list[Figure]:
    """Means of all values, medians and 90th percentiles of all events, with intervals from resampled items.

    Args:
        measured: what was measured of each item.
        resamples: how many.
        seed: of the resamples.
    """
    rows = [ClipRow("", None, 0.0, one.values) for one in measured]
    means = figures_over_clips(rows, resamples=resamples, seed=seed) if rows else []
    return [*(f for f in means if f.count), *_quantile_figures(measured, resamples=resamples, seed=seed)]


def _quantile_figures(measured: Sequence[Measured], *, resamples: int, seed: int) -> list[Figure]:
    measures = list(dict.fromkeys(measure for one in measured for measure in one.events))
    figures = []
    for measure in measures:
        events = sorted((value, i) for i, one in enumerate(measured) for value in one.events.get(measure, ()))
        if not events:
            continue
        values, owners = np.array([value for value, _ in events]), [i for _, i in events]
        counts = resampled_counts(len(measured), resamples=resamples, seed=seed)[:, owners]  # [R, N]
        for name, quantile in QUANTILES.items():
            value = float(_quantile(values, np.ones((1, len(values))), quantile)[0])
            named = Measure(f"{measure.name}_{name}", f"{measure.title}, {name}", measure.unit, measure.better)
            figures.append(Figure(named, value, interval_of(_quantile(values, counts, quantile)), len(values)))
    return figures


def _quantile(values: Floats, weights: Floats, quantile: float) -> Floats:
    """Of sorted values [N], each as often as the weights [R, N] say -> [R]; nan where nothing was drawn."""
    until = np.cumsum(weights, axis=1)
    total = until[:, -1]
    place = (until < quantile * total[:, None]).sum(axis=1)
    return np.where(total > 0, values[np.minimum(place, len(values) - 1)], np.nan)
