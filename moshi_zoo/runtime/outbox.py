"""What waits to be sent to one client."""

import asyncio
from collections import deque

from moshi_zoo.runtime.conversations import Spoken
from moshi_zoo.runtime.protocol import Kind


class Outbox:
    """Bounded: when a client reads too slowly, its oldest frames give way, and pings are never more than one.

    Args:
        size: frames that may wait.
    """

    def __init__(self, size: int):
        self._frames: deque[Spoken] = deque()
        self._size = size
        self._ping = False
        self._filled = asyncio.Event()

    def put(self, frame: Spoken) -> bool:
        """Add a frame; returns whether the oldest had to give way."""
        self._frames.append(frame)
        if full := len(self._frames) > self._size:
            self._frames.popleft()
        self._filled.set()
        return full

    def put_ping(self) -> None:
        """Add a ping, or an answer to one, which looks the same."""
        self._ping = True
        self._filled.set()

    async def get(self) -> Spoken | Kind:
        """Wait for the next thing to send: a frame, or ``Kind.PING``."""
        while not (self._ping or self._frames):
            self._filled.clear()
            await self._filled.wait()
        if self._ping:
            self._ping = False
            return Kind.PING
        return self._frames.popleft()
