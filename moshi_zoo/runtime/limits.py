"""What a client may ask of the server."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of a session. What is beyond them ends the session or is dropped and counted, and nobody else notices.

    Args:
        session_s: length of a conversation, in seconds.
        idle_s: without audio from the client, paused or not, until it is closed.
        message_bytes: size of a message.
        messages_per_s: on average; many more may come at once (``burst_s``).
        bytes_per_s: on average.
        burst_s: how much more than its time may come at once of messages, bytes and audio, in seconds.
        backlog: frames of a client that may wait for the model; the oldest give way.
        replies: frames that may wait for a client that reads slowly; the oldest give way.
        send_s: until a client that reads nothing is given up.
        request_s: until a connection must have sent a whole request.
        close_s: that a client has to answer a goodbye.
        quiet_s: without a word to the client until it is sent a ping: the official web client leaves after 10.
        heartbeat_s: between websocket pings; a client that answers none has vanished.
        spare_connections: beside those of sessions.
    """

    session_s: float = 1800.0
    idle_s: float = 60.0
    message_bytes: int = 1 << 16
    messages_per_s: float = 100.0
    bytes_per_s: float = 1e5
    burst_s: float = 10.0
    backlog: int = 12
    replies: int = 25
    send_s: float = 10.0
    request_s: float = 15.0
    close_s: float = 2.0
    quiet_s: float = 5.0
    heartbeat_s: float = 10.0
    spare_connections: int = 64


class Allowance:
    """So much per second on average, and some seconds' worth at once (a token bucket).

    Args:
        per_s: what comes back each second.
        burst_s: how many seconds' worth there are at most, and at the start.
        clock: in seconds.
    """

    def __init__(self, per_s: float, burst_s: float, clock: Callable[[], float] = time.monotonic):
        self.per_s, self.most, self._clock = per_s, per_s * burst_s, clock
        self._left, self._at = self.most, clock()

    def take(self, amount: float) -> bool:
        """Whether there was as much; it is taken in any case."""
        now = self._clock()
        self._left = min(self.most, self._left + self.per_s * (now - self._at)) - amount
        self._at = now
        return self._left >= 0
