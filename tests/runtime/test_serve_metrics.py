"""Counters and times."""

import pytest

from moshi_zoo.runtime.serve_metrics import ServeMetrics, Summary


def test_quantiles_are_those_of_the_latest():
    summary = Summary()
    assert summary.quantiles() == {}
    for value in [1e9] * 100 + list(range(4096)):
        summary.add(value)
    assert summary.quantiles() == pytest.approx({0.5: 2047.5, 0.9: 3685.5, 0.99: 4054.05, 1.0: 4095})
    assert summary.count == 4196


def test_a_frame_is_late_when_its_reply_takes_longer_than_it_lasts():
    metrics = ServeMetrics()
    assert [metrics.frame_done(seconds) for seconds in (0.079, 0.081)] == [False, True]
    assert metrics.late_frames == 1


def test_the_text_is_prometheus():
    metrics = ServeMetrics()
    metrics.refused["full"] += 2
    metrics.step_seconds.add(0.01)
    text = metrics.as_prometheus(sessions=1, max_sessions=4, queue_frames=0)
    for line in (
        "# TYPE moshi_zoo_refused_total counter",
        'moshi_zoo_refused_total{reason="full"} 2',
        'moshi_zoo_dropped_frames_total{side="heard"} 0',
        'moshi_zoo_step_seconds{quantile="0.5"} 0.01',
        "moshi_zoo_step_seconds_count 1",
    ):
        assert line in text.splitlines()
