"""From clips to figures: what a measurement gets, what it gives for each clip, and what becomes of that."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from moshi_zoo.evaluation.bootstrap import Interval, bootstrap_means

SHARE = "share"
"""The unit of what lies between 0 and 1 and is shown in percent."""


@dataclass(frozen=True)
class Segment:
    """A word or a phone in time."""

    label: str
    start_s: float
    end_s: float
    speaker: str | None = None


@dataclass(frozen=True)
class Clip:
    """A recording to evaluate.

    Args:
        name: such as its path.
        wav: [S] at the codec's sample rate.
        speaker: who speaks, if known.
        word: what is said, in clips of one word.
        segments: labelled stretches, for ABX.
    """

    name: str
    wav: Tensor
    speaker: str | None = None
    word: str | None = None
    segments: tuple[Segment, ...] = ()


@dataclass(frozen=True)
class CodedClip:
    """A clip after the codec.

    Args:
        clip: what went in.
        wav: the same waveform, [S], on the codec's device.
        codes: [K, T], all codebooks.
        decoded: number of codebooks -> waveform [S'], in whole frames.
    """

    clip: Clip
    wav: Tensor
    codes: Tensor
    decoded: Mapping[int, Tensor]


@dataclass(frozen=True)
class Measure:
    """What is measured, and at which setting.

    Args:
        name: as in JSON.
        title: for people.
        unit: such as dB or :data:`SHARE`; empty for scores.
        better: which direction is.
        num_codebooks: codebooks decoded from, where that matters.
        level: codebook it belongs to, from 0.
    """

    name: str
    title: str
    unit: str = ""
    better: Literal["higher", "lower", "neither"] = "higher"
    num_codebooks: int | None = None
    level: int | None = None

    @property
    def key(self) -> str:
        """Name and setting as one word: ``stoi@8``, ``idempotence/0`` for level 0."""
        at = "" if self.num_codebooks is None else f"@{self.num_codebooks}"
        return self.name + at + ("" if self.level is None else f"/{self.level}")


@dataclass(frozen=True)
class Value:
    """A clip's value; nan: undefined there. A clip counts by its weight (a share of frames by their number)."""

    value: float
    weight: float = 1.0


@dataclass(frozen=True)
class Figure:
    """A result.

    Args:
        measure: what it is.
        value: over all clips.
        interval: of 95 %, where resampling the clips gives one.
        count: clips (or triples, or runs) it comes from.
    """

    measure: Measure
    value: float
    interval: Interval | None = None
    count: int = 0


ClipMeasurement = Callable[[CodedClip], Mapping[Measure, Value]]
"""Measures one clip."""


@dataclass(frozen=True)
class ClipRow:
    """A clip's values; ``seconds`` is its length."""

    name: str
    speaker: str | None
    seconds: float
    values: Mapping[Measure, Value]


def figures_over_clips(rows: Sequence[ClipRow], *, resamples: int, seed: int) -> list[Figure]:
    """Mean and interval of each measure, all from the same resamples; nan for one that is defined on no clip."""
    measures = list(dict.fromkeys(measure for row in rows for measure in row.values))
    missing = Value(float("nan"))
    cells = [[row.values.get(measure, missing) for measure in measures] for row in rows]
    values = np.array([[cell.value for cell in row] for row in cells])  # [N, M]
    weights = np.array([[cell.weight for cell in row] for row in cells])
    means, intervals = bootstrap_means(values, weights, resamples=resamples, seed=seed)
    counts = np.isfinite(values).sum(axis=0)
    return [
        Figure(measure, float(mean), interval, int(count))
        for measure, mean, interval, count in zip(measures, means, intervals, counts, strict=True)
    ]
