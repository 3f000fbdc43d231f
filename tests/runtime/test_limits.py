"""What a client may ask of the server."""

from moshi_zoo.runtime.limits import Allowance


def test_a_burst_is_allowed_once_and_comes_back_with_time():
    now = 0.0
    allowance = Allowance(10, burst_s=2, clock=lambda: now)
    assert allowance.take(20)
    assert not allowance.take(1)
    now = 1.0  # 10 more, of which 1 is owed
    assert allowance.take(9)
    assert not allowance.take(0.1)
    now = 1000.0
    assert allowance.take(20)
    assert not allowance.take(1)


def test_what_keeps_to_the_rate_is_never_refused():
    now = 0.0
    allowance = Allowance(12.5, burst_s=1, clock=lambda: now)
    for frame in range(10_000):
        now = frame / 12.5
        assert allowance.take(1)
