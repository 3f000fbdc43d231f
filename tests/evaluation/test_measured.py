"""Figures from values and from events."""

import math

import pytest

from moshi_zoo.evaluation.measured import Measured, figures_of, share
from moshi_zoo.evaluation.measurement import SHARE, Measure

RIGHT, GAP = Measure("right", "right", SHARE), Measure("gap", "gap", "s")


def figures(*items):
    return {figure.measure.name: figure for figure in figures_of(items, resamples=300, seed=0)}


def test_shares_count_by_what_they_are_of():
    found = figures(Measured({RIGHT: share(1, 1)}), Measured({RIGHT: share(0, 3)}), Measured({RIGHT: share(0, 0)}))
    assert found["right"].value == 0.25
    assert found["right"].count == 2
    assert math.isnan(share(0, 0).value)


def test_medians_and_percentiles_are_of_all_events_and_move_with_the_items():
    found = figures(*(Measured(events={GAP: [i + 0.1, i + 0.2]}) for i in range(10)))
    assert found["gap_median"].value == pytest.approx(4.2)
    assert found["gap_p90"].value == pytest.approx(8.2)
    assert found["gap_median"].count == 20
    interval = found["gap_median"].interval
    assert 0 <= interval.low < 4.2 < interval.high <= 9.2


def test_an_interval_of_events_of_one_item_has_no_width():
    interval = figures(Measured(events={GAP: [1.0, 2.0, 3.0]}))["gap_median"].interval
    assert (interval.low, interval.high) == (2.0, 2.0)


def test_what_never_happens_has_no_figure():
    assert figures(Measured(events={GAP: []}), Measured({RIGHT: share(0, 0)})) == {}
