"""Tokens a second, and the share of the device that they use."""

import pytest
import torch

from moshi_zoo.training import throughput
from moshi_zoo.training.throughput import Throughput, peak_flops, training_flops


@pytest.fixture
def clock(monkeypatch):
    """``clock[0]`` is the time."""
    now = [100.0]
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: now[0])
    return now


def test_the_speed_is_that_of_the_last_steps_from_the_end_of_one_to_the_end_of_another(clock):
    speed = Throughput(flops_per_token=10.0, peak=1000.0, steps=2)
    assert speed.add(7) == {}, "nobody knows when the first step began"
    clock[0] += 2
    assert speed.add(20) == {"tokens_per_second": 10.0, "mfu": 0.1}
    clock[0] += 2
    assert speed.add(40)["tokens_per_second"] == 15
    clock[0] += 1
    assert speed.add(20)["tokens_per_second"] == 20, "the first step is forgotten"


def test_what_happens_between_the_steps_does_not_count(clock):
    speed = Throughput(flops_per_token=1.0, peak=1.0)
    speed.add(10)
    speed.pause()
    clock[0] += 60
    assert speed.add(10) == {}
    clock[0] += 1
    assert speed.add(10)["tokens_per_second"] == 10


def test_operations_are_those_that_palm_counts():
    assert training_flops(num_weights=100, num_layers=2, dim=8, length=5) == 600 + 12 * 2 * 8 * 5


def test_a_device_without_a_data_sheet_is_measured():
    assert 1e8 < peak_flops(torch.device("cpu"), torch.float32) < 1e14
