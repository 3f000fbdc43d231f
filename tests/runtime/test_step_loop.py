"""The thread that steps conversations."""

import asyncio

import pytest

from moshi_zoo.runtime.serve_metrics import ServeMetrics
from moshi_zoo.runtime.settings import TalkSettings
from moshi_zoo.runtime.step_loop import StepLoop
from tests.runtime.echoes import Echoes, eventually, noise, run


def frame(index):
    return noise(index).astype("float32") / 32768


class Listener:
    """A seat and what came to it."""

    def __init__(self, steps, seed=0):
        self.replies, self.failures = [], 0
        self.seat = steps.sit(TalkSettings(seed=seed), self.replies.append, self._fail)

    def _fail(self):
        self.failures += 1

    @property
    def said(self):
        return [reply.spoken.text for reply in self.replies]


def stepping(test, echoes, **options):
    """Runs a test with a loop, which must have given all rows back at the end."""

    async def whole():
        steps = StepLoop(lambda: echoes, ServeMetrics(), **options)
        steps.start()
        await asyncio.wrap_future(steps.loaded)
        try:
            await test(steps)
        finally:
            steps.stop()
        assert not echoes.joined

    run(whole)


def test_frames_that_wait_are_stepped_together_each_in_turn():
    async def test(steps):
        echoes.batches.clear()  # the warm-up's
        listeners = [Listener(steps, 10 * k) for k in range(3)]
        for i in range(4):
            for listener in listeners:
                listener.seat.hear(frame(i))
        await eventually(lambda: all(len(listener.replies) == 4 for listener in listeners))
        assert [listener.said for listener in listeners] == [[10 * k + i for i in range(4)] for k in range(3)]
        assert len(echoes.batches) < 12
        for listener in listeners:
            listener.seat.leave()

    echoes = Echoes(3, step_s=0.01)
    stepping(test, echoes)


def test_a_seat_can_be_left_before_it_was_joined_and_twice():
    async def test(steps):
        for _ in range(50):
            listener = Listener(steps)
            listener.seat.hear(frame(0))
            listener.seat.leave()
            listener.seat.leave()
            listener.seat.hear(frame(0))
        again = Listener(steps, 7)
        again.seat.hear(frame(0))
        await eventually(lambda: again.said == [7])
        again.seat.leave()

    stepping(test, Echoes(1))


def test_nothing_comes_to_a_seat_that_was_left():
    async def test(steps):
        listener = Listener(steps)
        listener.seat.hear(frame(0))
        await eventually(lambda: steps.metrics.step_seconds.count == 0 and bool(steps.seats))
        listener.seat.leave()
        await asyncio.sleep(0.2)
        assert not listener.replies

    stepping(test, Echoes(1, step_s=0.1))


def test_a_paused_seat_hears_nothing_and_goes_on_where_it_was():
    async def test(steps):
        listener = Listener(steps)
        listener.seat.hear(frame(0))
        await eventually(lambda: listener.said == [0])
        listener.seat.pause()
        listener.seat.hear(frame(1))
        await asyncio.sleep(0.1)
        assert listener.said == [0]
        listener.seat.resume()
        listener.seat.hear(frame(2))
        await eventually(lambda: listener.said == [0, 1])
        listener.seat.restart()
        listener.seat.hear(frame(3))
        await eventually(lambda: listener.said == [0, 1, 0])
        listener.seat.leave()

    stepping(test, Echoes(1))


def test_late_replies_and_dropped_frames_are_counted():
    async def test(steps):
        listener = Listener(steps)
        for i in range(10):
            listener.seat.hear(frame(i))
        await eventually(lambda: len(listener.replies) + listener.seat.dropped == 10)
        listener.seat.leave()
        assert listener.seat.dropped == steps.metrics.dropped["heard"]
        assert listener.seat.dropped in (6, 7)  # the first may be on its way already
        assert all(reply.late for reply in listener.replies)
        assert steps.metrics.late_frames == len(listener.replies)

    stepping(test, Echoes(1, step_s=0.09), backlog=3)


@pytest.mark.parametrize("what", ["join", "reset", "step"])
def test_an_error_of_one_conversation_is_told_to_its_seat_and_the_loop_goes_on(what, monkeypatch, caplog):
    async def test(steps):
        fine = Listener(steps)
        fine.seat.hear(frame(0))
        await eventually(lambda: fine.said == [0])
        with monkeypatch.context() as patch:
            patch.setattr(Echoes, what, broken)
            listener = Listener(steps)
            listener.seat.restart()
            listener.seat.hear(frame(0))
            await eventually(lambda: listener.failures > 0)
        listener.seat.leave()
        fine.seat.hear(frame(1))
        await eventually(lambda: fine.said == [0, 1])
        fine.seat.leave()
        assert "no memory" in caplog.text

    def broken(*_):
        raise RuntimeError("no memory")

    stepping(test, Echoes(2))
