"""One thread that steps all conversations, so that the event loop of the sockets never waits for the model.

A step takes the oldest waiting frame of every seat that has one; seats without one are paused by that. Steps begin at
least a quarter of a frame apart: frames that come closer together share a step, and one that comes alone does not wait
for them. When the model is slower than the frames, every step takes in all who speak, so that the delay stays below two
steps as long as one step takes less than a frame; beyond that, backlogs are cut, the oldest frames first.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moshi_zoo.runtime.conversations import Conversations, Spoken
from moshi_zoo.runtime.serve_log import tell_failure
from moshi_zoo.runtime.serve_metrics import ServeMetrics
from moshi_zoo.runtime.settings import TalkSettings

_STEPS_PER_FRAME = 4


@dataclass(frozen=True)
class Reply:
    """What a step brought a seat; ``late``: longer after its frame than a frame lasts."""

    spoken: Spoken
    late: bool


class Seat:
    """A session's place among the conversations. All but what is said of the thread is for the event loop.

    Args:
        steps: the loop it belongs to.
        settings: of the conversation.
        on_reply: called in the event loop with each reply.
        on_failure: called in the event loop if a step failed; there are no more replies then.
    """

    def __init__(
        self,
        steps: "StepLoop",
        settings: TalkSettings,
        on_reply: Callable[[Reply], None],
        on_failure: Callable[[], None],
    ):
        self._steps, self._settings, self._on_reply, self._on_failure = steps, settings, on_reply, on_failure
        self._event_loop = asyncio.get_running_loop()
        self._row: int | None = None  # the thread's
        self._waiting: deque[tuple[float, NDArray[np.float32]]] = deque()  # both sides', under the loop's lock
        self._left = self._paused = False
        self.dropped = 0
        steps.order(self._join)

    def hear(self, frame: NDArray[np.float32]) -> None:
        """Let the conversation hear a frame [frame_size]; while it is paused, nothing is heard."""
        if self._paused or self._left:
            return
        if self._steps.put(self._waiting, frame):
            self.dropped += 1

    def pause(self) -> None:
        """Hear nothing, and forget what has not been heard yet."""
        self._paused = True
        self._steps.forget(self._waiting)

    def resume(self) -> None:
        """Go on after a pause, as if no time had passed."""
        self._paused = False

    def restart(self) -> None:
        """Begin anew, with the same settings."""
        self._paused = False
        self._steps.forget(self._waiting)
        self._steps.order(self._reset)

    def leave(self) -> None:
        """Give the place back. No reply comes after it."""
        if not self._left:
            self._left = True
            self._steps.forget(self._waiting)
            self._steps.order(self._free)

    # The thread's side

    def _join(self) -> None:
        if self._left:
            return
        try:
            self._row = self._steps.conversations.join(self._settings)
        except Exception as error:
            self._fail("join", error)
        else:
            self._steps.seats[self._row] = self

    def _reset(self) -> None:
        if self._row is None:
            return
        try:
            self._steps.conversations.reset(self._row)
        except Exception as error:
            self._fail("reset", error)

    def _free(self) -> None:
        if self._row is None:
            return
        row, self._row = self._row, None
        del self._steps.seats[row]
        try:
            self._steps.conversations.leave(row)
        except Exception as error:
            tell_failure("leave", error)

    def _fail(self, what: str, error: Exception) -> None:
        tell_failure(what, error)
        self._event_loop.call_soon_threadsafe(self._on_failure)

    def _bring(self, reply: Reply) -> None:
        self._event_loop.call_soon_threadsafe(self._deliver, reply)

    def _deliver(self, reply: Reply) -> None:
        if not self._left:
            self._on_reply(reply)


class StepLoop:
    """Loads conversations and steps them, in a thread of its own that alone touches them.

    Args:
        load: makes them.
        metrics: takes in times and drops.
        backlog: frames of a seat that may wait.
    """

    def __init__(self, load: Callable[[], Conversations], metrics: ServeMetrics, *, backlog: int = 12):
        self.metrics, self.backlog = metrics, backlog
        self.loaded: Future[Conversations] = Future()
        """Done when conversations can begin."""
        self.seats: dict[int, Seat] = {}
        """Row -> who sits there."""
        self._load = load
        self._orders: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="step loop", daemon=True)

    @property
    def is_ready(self) -> bool:
        """Whether conversations can begin."""
        return self.loaded.done() and self.loaded.exception() is None

    @property
    def conversations(self) -> Conversations:
        """What is stepped, once it is loaded."""
        return self.loaded.result(timeout=0)

    @property
    def queue_frames(self) -> int:
        """Frames of all seats that wait."""
        with self._changed:
            return sum(len(seat._waiting) for seat in list(self.seats.values()))

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is under way, be it a step or the loading, and wait for that."""
        self._stopping.set()
        with self._changed:
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def sit(self, settings: TalkSettings, on_reply: Callable[[Reply], None], on_failure: Callable[[], None]) -> Seat:
        """A seat for a conversation, to be left in the end; see :class:`Seat`. The caller counts them."""
        return Seat(self, settings, on_reply, on_failure)

    def order(self, what: Callable[[], None]) -> None:
        """Let the thread do something between two steps; orders are done in turn."""
        with self._changed:
            self._orders.append(what)
            self._changed.notify()

    def put(self, waiting: deque[tuple[float, NDArray[np.float32]]], frame: NDArray[np.float32]) -> bool:
        """Put a frame behind those that wait; returns whether the oldest had to give way."""
        with self._changed:
            waiting.append((time.perf_counter(), frame))
            if full := len(waiting) > self.backlog:
                waiting.popleft()
                self.metrics.dropped["heard"] += 1
            self._changed.notify()
        return full

    def forget(self, waiting: deque[tuple[float, NDArray[np.float32]]]) -> None:
        """Drop frames that nobody wants any more."""
        with self._changed:
            waiting.clear()

    def _run(self) -> None:
        self.loaded.set_running_or_notify_cancel()  # nobody can cancel it from here on
        try:
            conversations = self._load()
            conversations.warm_up()
        except BaseException as error:
            self.loaded.set_exception(error)
            return
        self.metrics.frame_s = 1 / conversations.frame_rate
        self.loaded.set_result(conversations)
        next_step = 0.0
        while not self._stopping.is_set():
            with self._changed:
                self._changed.wait_for(self._has_work)
            if (early := next_step - time.perf_counter()) > 0 and self._stopping.wait(early):
                break
            if frames := self._take_frames():
                next_step = time.perf_counter() + self.metrics.frame_s / _STEPS_PER_FRAME
                self._step(conversations, frames)
        self._take_frames()  # who left in the meantime is to leave

    def _has_work(self) -> bool:
        return bool(self._orders) or self._stopping.is_set() or any(seat._waiting for seat in self.seats.values())

    def _take_frames(self) -> dict[int, tuple[float, NDArray[np.float32]]]:
        """Obey all orders, then take what waits: no frame overtakes the restart that it follows."""
        while True:
            while self._orders:
                self._orders.popleft()()  # these catch their errors: one seat's must not stop the thread
            with self._changed:
                if not self._orders:
                    return {row: seat._waiting.popleft() for row, seat in self.seats.items() if seat._waiting}

    def _step(self, conversations: Conversations, frames: dict[int, tuple[float, NDArray[np.float32]]]) -> None:
        start = time.perf_counter()
        try:
            spoken = conversations.step({row: frame for row, (_, frame) in frames.items()})
        except Exception as error:
            self.metrics.failed_steps += 1
            for row in frames:
                self.seats[row]._fail("step", error)
            return
        end = time.perf_counter()
        self.metrics.step_seconds.add(end - start)
        for row, (arrived, _) in frames.items():
            self.seats[row]._bring(Reply(spoken[row], late=self.metrics.frame_done(end - arrived)))
