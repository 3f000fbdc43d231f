"""Confidence intervals by resampling clips (percentile bootstrap; Efron and Tibshirani 1993, chapter 13)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
"""Of all intervals."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """Where the figure would fall in 95 % of collections of other clips like these."""

    low: float
    high: float


def resampled_counts(num_clips: int, *, resamples: int, seed: int) -> Floats:
    """How often each clip is drawn in each resample: [R, N], rows sum to N."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(num_clips, np.full(num_clips, 1 / num_clips), size=resamples).astype(np.float64)


def bootstrap_means(
    values: Floats, weights: Floats | None = None, *, resamples: int = 1000, seed: int = 0
) -> tuple[Floats, list[Interval]]:
    """Weighted mean over clips of each column, and its interval.

    Args:
        values: [N, M], clips by measures; nan where a clip has no value.
        weights: [N, M]; equal ones by default.
        resamples: how many.
        seed: of the draws, which all columns share: differences between columns are those of the same clips.

    Returns:
        Means [M] and intervals, nan for a column without values.
    """
    valid = np.isfinite(values)
    weights = np.where(valid, 1.0 if weights is None else weights, 0.0)
    weighted = np.where(valid, values, 0.0) * weights
    counts = resampled_counts(len(values), resamples=resamples, seed=seed)
    with np.errstate(invalid="ignore"):
        means = weighted.sum(axis=0) / weights.sum(axis=0)
        resampled = (counts @ weighted) / (counts @ weights)  # [R, M]
    return means, [interval_of(column) for column in resampled.T]


def interval_of(resampled: Floats) -> Interval:
    """The middle 95 % of resampled figures [R]; those that are nan (nothing was drawn) are left out."""
    known = resampled[np.isfinite(resampled)]
    if not len(known):
        return Interval(float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
