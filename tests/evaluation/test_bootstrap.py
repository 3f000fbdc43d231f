"""Intervals by resampling."""

import numpy as np
import pytest

from moshi_zoo.evaluation.bootstrap import bootstrap_means, interval_of, resampled_counts


def test_the_intervals_cover_the_truth_about_as_often_as_they_say():
    values = np.random.default_rng(0).normal(3.0, 2.0, size=(60, 500))  # 500 experiments of 60 clips each
    _, intervals = bootstrap_means(values, resamples=400, seed=1)
    assert 0.91 < np.mean([i.low < 3.0 < i.high for i in intervals]) < 0.97


def test_means_weigh_the_clips_and_leave_out_what_is_undefined():
    values = np.array([[1.0, 1.0], [3.0, np.nan], [np.nan, np.nan]])
    weights = np.array([[3.0, 1.0], [1.0, 1.0], [9.0, 9.0]])
    means, intervals = bootstrap_means(values, weights, resamples=200)
    assert means.tolist() == [1.5, 1.0]
    assert intervals[0].low == 1.0
    assert intervals[0].high == 3.0
    assert intervals[1].low == intervals[1].high == 1.0


def test_a_measure_without_values_has_no_mean_and_no_interval():
    means, intervals = bootstrap_means(np.full((4, 1), np.nan), resamples=50)
    assert np.isnan([means[0], intervals[0].low, intervals[0].high]).all()


def test_the_same_seed_draws_the_same_clips():
    counts = resampled_counts(7, resamples=30, seed=5)
    assert (counts.sum(axis=1) == 7).all()
    assert (counts == resampled_counts(7, resamples=30, seed=5)).all()
    assert (counts != resampled_counts(7, resamples=30, seed=6)).any()


def test_an_interval_holds_the_middle_95_percent():
    interval = interval_of(np.arange(1001.0))
    assert (interval.low, interval.high) == pytest.approx((25, 975))
