"""How sessions end, and how their clients are told."""

import asyncio
from dataclasses import dataclass

from aiohttp import web

from moshi_zoo.runtime.protocol import CloseCode, Kind, message

_REASON_BYTES = 120  # a close frame holds 123


@dataclass(frozen=True)
class Ending:
    """Why a session ended or was refused.

    Args:
        reason: in a word or two, for logs and counters.
        code: for the client.
        message: for its user; empty if the client went by itself.
    """

    reason: str
    code: CloseCode = CloseCode.OK
    message: str = ""


LEFT = Ending("left")
VANISHED = Ending("vanished")
TOO_BIG = Ending("too big", CloseCode.TOO_BIG)  # aiohttp tells the client
SHUTDOWN = Ending("shutdown", CloseCode.GOING_AWAY, "the server is shutting down")
FAILURE = Ending("failure", CloseCode.INTERNAL_ERROR, "something in the server went wrong: try again")
FULL = Ending("full", CloseCode.TRY_AGAIN_LATER, "the server is full: try again when a conversation has ended")
LOADING = Ending("loading", CloseCode.TRY_AGAIN_LATER, "the model is still being loaded: try again in a moment")
FLOOD = Ending("flood", CloseCode.POLICY, "too many messages: send each frame of audio once, in real time")
TOO_FAST = Ending("too fast", CloseCode.POLICY, "the audio comes faster than anyone can speak: send it in real time")
STALLED = Ending("stalled", CloseCode.POLICY, "nothing of what was sent was read")


async def part(
    socket: web.WebSocketResponse, transport: asyncio.Transport | None, ending: Ending, seconds: float
) -> None:
    """Tell a client why, say goodbye, and cut the connection.

    Args:
        socket: of the client.
        transport: below it; None if the client has cut it.
        ending: what to tell.
        seconds: that the client has for its own goodbye.
    """
    try:
        async with asyncio.timeout(seconds):
            if ending.message:
                await socket.send_bytes(message(Kind.ERROR, ending.message.encode()))
            reason = ending.message.encode()[:_REASON_BYTES].decode(errors="ignore")
            await socket.close(code=ending.code, message=reason.encode())
    except (TimeoutError, ConnectionError):
        pass  # it has gone, or it does not read
    finally:
        if transport is not None:
            transport.abort()  # a close would wait for a client that does not read
