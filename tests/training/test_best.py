"""Which validation is the best, and what is kept of it."""

from types import SimpleNamespace

import pytest

from moshi_zoo.training.best import Best


def improvements(values, *, monitor="val/loss", mode="min", is_complete=True):
    best = Best()
    stage = SimpleNamespace(monitor=monitor, monitor_mode=mode, is_complete=is_complete)
    strategy = SimpleNamespace(broadcast=lambda value: value)
    trainers = [SimpleNamespace(callback_metrics={"val/loss": value}, strategy=strategy) for value in values]
    return [best.improved(trainer, stage) for trainer in trainers]


def test_only_better_values_count():
    assert improvements([3.0, 2.0, 2.5, 2.0, 1.0]) == [True, True, False, False, True]
    assert improvements([1.0, 2.0, 1.5], mode="max") == [True, True, False]


def test_a_value_that_is_no_number_is_not_the_best():
    assert improvements([float("nan"), 2.0, float("nan"), 3.0]) == [False, True, False, False]


def test_without_a_monitor_the_latest_is_the_best():
    assert improvements([1.0, 2.0], monitor=None) == [True, True]


def test_a_net_of_which_parts_do_not_work_yet_has_no_best():
    assert improvements([2.0, 1.0], is_complete=False) == [False, False]


def test_a_metric_that_nobody_logged_is_an_error():
    with pytest.raises(ValueError, match="no validation metric is called 'val/los'; did you mean val/loss"):
        improvements([1.0], monitor="val/los")
