"""Many streams through one batch: as one ends, the next takes its row."""

from collections.abc import Callable, Iterable, Iterator
from math import floor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from moshi_zoo.runtime.conversations import Conversations, Heard, Spoken
from moshi_zoo.runtime.settings import Hooks, TalkSettings

_SAME_FRAME = 1e-6  # frames: 0.56 s are frame 7 at 12.5 Hz, whatever floating point says

Recording = NDArray[np.float32] | Tensor
"""A user as a whole: samples [S] at the codec's rate, or codes, int64 [user codebooks, T]."""


class Stream(Protocol):
    """One conversation from its beginning to its end."""

    @property
    def settings(self) -> TalkSettings:
        """Of the conversation."""
        ...

    @property
    def hooks(self) -> Hooks | None:
        """Of the conversation."""
        ...

    def hear(self) -> Heard:
        """What its user says next."""
        ...

    def take(self, spoken: Spoken) -> bool:
        """Take what came of that; returns whether the conversation goes on."""
        ...


def run(conversations: Conversations, streams: Iterable[Stream], on_done: Callable[[int], None] | None = None) -> None:
    """Lead all streams to their ends, as many at a time as there are free rows.

    They begin in order; each is what it would be alone.

    Args:
        conversations: with free rows.
        streams: are taken when a row is free for them.
        on_done: is told the number of a stream when it has ended.
    """
    waiting, running = enumerate(streams), dict[int, tuple[int, Stream]]()
    try:
        while _fill(conversations, running, waiting):
            spoken = conversations.step({row: stream.hear() for row, (_, stream) in running.items()})
            for row, (number, stream) in list(running.items()):
                if not stream.take(spoken[row]):
                    conversations.leave(row)
                    del running[row]
                    if on_done:
                        on_done(number)
    finally:
        for row in running:
            conversations.leave(row)


def frames(recording: Recording, frame_size: int) -> Iterator[NDArray[np.float32] | Tensor]:
    """A recording frame by frame; the end is padded with silence to a whole one."""
    if isinstance(recording, Tensor):
        yield from recording.unbind(-1)
        return
    for start in range(0, len(recording), frame_size):
        frame = recording[start : start + frame_size]
        yield np.pad(frame, (0, frame_size - len(frame))).astype(np.float32, copy=False)


def num_frames(recording: Recording, frame_size: int) -> int:
    """Of a recording."""
    return recording.shape[-1] if isinstance(recording, Tensor) else -(-len(recording) // frame_size)


def whole_frames(seconds: float, frame_rate: float) -> int:
    """Frames that are over after some time: as the rows of text are laid out in training."""
    return floor(seconds * frame_rate + _SAME_FRAME)


def _fill(
    conversations: Conversations, running: dict[int, tuple[int, Stream]], waiting: Iterator[tuple[int, Stream]]
) -> bool:
    while conversations.free and (item := next(waiting, None)) is not None:
        _, stream = item
        running[conversations.join(stream.settings, hooks=stream.hooks)] = item
    return bool(running)
