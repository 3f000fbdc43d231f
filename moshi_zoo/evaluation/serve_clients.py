"""Clients that put a server under load: good ones, who speak in real time and measure, and bad ones, who misbehave."""

import asyncio
import base64
import contextlib
import json
import os
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

import aiohttp
import numpy as np
from numpy.typing import NDArray

from moshi_zoo.runtime.protocol import AudioFormat, Kind, message
from moshi_zoo.runtime.wire_audio import Samples, wire_audio

SAMPLE_RATE, FRAME = 24_000, 1920
FRAME_S = FRAME / SAMPLE_RATE
_DRAIN_S = 1.0
_BAD_EVERY_S = (1.0, 4.0)
_STALL_S = 3.0
_RETRY_S = 0.2
_MOST_HELD_BACK, _REPLY_S = 8, 3.0


@dataclass
class Heard:
    """What a good client saw.

    Args:
        sent: frames.
        replies: frames of sound that came back.
        dropped: frames that the server says it dropped.
        delays_s: of each reply, from the moment its frame was sent.
        error: what the server said when it ended the conversation; empty if it did not.
    """

    sent: int = 0
    replies: int = 0
    dropped: int = 0
    delays_s: list[float] = field(default_factory=list)
    error: str = ""


async def converse(url: str, speech: Samples, *, seconds: float, form: AudioFormat, held_back: int) -> Heard:
    """Speak in real time and listen.

    Args:
        url: of the websocket.
        speech: [S], said again and again.
        seconds: to speak for.
        form: of audio messages.
        held_back: frames that the model hears before it says its first.
    """
    heard, sent_at = Heard(), list[float]()
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(url, params={"format": form, "text_seed": "1"}, max_msg_size=0) as websocket,
    ):
        listening = asyncio.create_task(_listen(websocket, heard, sent_at, held_back))
        try:
            await _speak(websocket, speech, heard, sent_at, seconds, form)
            await asyncio.wait((listening,), timeout=_DRAIN_S)
        except ConnectionError:
            await asyncio.wait((listening,), timeout=_DRAIN_S)
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening
    return heard


async def frames_held_back(url: str, speech: Samples) -> int:
    """How many frames a model hears before it says its first: one frame after the other, until there is sound.

    Raises:
        ValueError: if there is none.
    """
    async with aiohttp.ClientSession() as http, http.ws_connect(url, params={"format": "pcm"}) as websocket:
        for number in range(_MOST_HELD_BACK):
            frame = speech[number * FRAME : (number + 1) * FRAME]
            await websocket.send_bytes(message(Kind.AUDIO, wire_audio("pcm", SAMPLE_RATE).encode(frame)))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REPLY_S):
                    while (received := await websocket.receive()).type is aiohttp.WSMsgType.BINARY:
                        if received.data[0] == Kind.AUDIO:
                            return number
                    break
    raise ValueError(f"{url} does not answer with sound")


async def _speak(
    websocket: aiohttp.ClientWebSocketResponse,
    speech: Samples,
    heard: Heard,
    sent_at: list[float],
    seconds: float,
    form: AudioFormat,
) -> None:
    audio, start = wire_audio(form, SAMPLE_RATE), time.perf_counter()
    for number in range(round(seconds / FRAME_S)):
        await asyncio.sleep(max(start + number * FRAME_S - time.perf_counter(), 0))
        frame = np.take(speech, range(number * FRAME, (number + 1) * FRAME), mode="wrap")
        data = message(Kind.AUDIO, audio.encode(frame))
        sent_at.append(time.perf_counter())
        await websocket.send_bytes(data)
        heard.sent += 1


async def _listen(
    websocket: aiohttp.ClientWebSocketResponse, heard: Heard, sent_at: list[float], held_back: int
) -> None:
    async for received in websocket:
        now = time.perf_counter()
        if received.type is not aiohttp.WSMsgType.BINARY:
            continue
        if received.data[0] == Kind.ERROR:
            heard.error = received.data[1:].decode(errors="replace")
        elif received.data[0] == Kind.METADATA:
            heard.dropped = json.loads(received.data[1:]).get("dropped", heard.dropped)
        elif received.data[0] == Kind.AUDIO:
            if (number := heard.replies + heard.dropped + held_back) < len(sent_at):
                heard.delays_s.append(now - sent_at[number])
            heard.replies += 1


async def misbehave(host: str, port: int, speech: Samples, chance: np.random.Generator, until: float) -> dict[str, int]:
    """Connect, talk a little, do something bad, and again; returns how often each was done.

    Args:
        host: of the server.
        port: of the server.
        speech: [S].
        chance: what to do, and when.
        until: end, on ``time.perf_counter``.
    """
    done = dict.fromkeys((deed.__name__.removeprefix("_") for deed in _DEEDS), 0)
    while time.perf_counter() < until:
        deed = _DEEDS[chance.integers(len(_DEEDS))]
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            async with asyncio.timeout(30), _raw_websocket(host, port) as writer:
                for _ in range(int(chance.uniform(*_BAD_EVERY_S) / FRAME_S)):
                    writer.write(_frame(_pcm(speech, chance)))
                    await asyncio.sleep(FRAME_S)
                await deed(writer, speech, chance)
                done[deed.__name__.removeprefix("_")] += 1
        await asyncio.sleep(_RETRY_S)
    return done


async def _disconnect(writer: asyncio.StreamWriter, speech: Samples, chance: np.random.Generator) -> None:
    """Within a frame, with a reset."""
    writer.write(_frame(_pcm(speech, chance))[: int(chance.integers(1, 3000))])
    reset = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)


async def _garbage(writer: asyncio.StreamWriter, speech: Samples, chance: np.random.Generator) -> None:
    for _ in range(5):
        writer.write(_frame(message(Kind.AUDIO, chance.bytes(3001))))
        writer.write(_frame(chance.bytes(500)))
    writer.write(chance.bytes(2000))  # no websocket frame at all
    await writer.drain()


async def _oversize(writer: asyncio.StreamWriter, speech: Samples, chance: np.random.Generator) -> None:
    writer.write(_frame(message(Kind.AUDIO, bytes(1 << 20))))
    await asyncio.sleep(FRAME_S)


async def _stall(writer: asyncio.StreamWriter, speech: Samples, chance: np.random.Generator) -> None:
    """Speaks on, but reads nothing; then says nothing either."""
    for _ in range(int(_STALL_S / FRAME_S)):
        writer.write(_frame(_pcm(speech, chance)))
        await asyncio.sleep(FRAME_S)
    await asyncio.sleep(_STALL_S)


_DEEDS: tuple[Callable[[asyncio.StreamWriter, Samples, np.random.Generator], Awaitable[None]], ...] = (
    _disconnect,
    _garbage,
    _oversize,
    _stall,
)


def _pcm(speech: Samples, chance: np.random.Generator) -> bytes:
    start = int(chance.integers(max(len(speech) - FRAME, 1)))
    samples: NDArray[np.int16] = (speech[start : start + FRAME] * 32767).astype("<i2")
    return message(Kind.AUDIO, samples.tobytes())


@contextlib.asynccontextmanager
async def _raw_websocket(host: str, port: int) -> AsyncIterator[asyncio.StreamWriter]:
    """Below any library, which would not let us misbehave. Nothing is read after the handshake."""
    reader, writer = await asyncio.open_connection(host, port)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET /api/chat?format=pcm HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    try:
        await reader.readuntil(b"\r\n\r\n")
        cast("asyncio.Transport", writer.transport).pause_reading()
        yield writer
    finally:
        writer.close()


def _frame(payload: bytes) -> bytes:
    """A masked binary frame (RFC 6455 5.2); the mask is zero."""
    length = len(payload)
    size = struct.pack(">BH", 0x80 | 126, length) if length < 1 << 16 else struct.pack(">BQ", 0x80 | 127, length)
    return b"\x82" + size + bytes(4) + payload
