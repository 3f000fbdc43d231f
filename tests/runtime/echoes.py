"""Conversations without a model, and a server of them for real websocket clients on loopback."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import numpy as np

from moshi_zoo.runtime.access import Access
from moshi_zoo.runtime.conversations import Full, Spoken
from moshi_zoo.runtime.limits import Limits
from moshi_zoo.runtime.protocol import Kind
from moshi_zoo.runtime.server import Served, Server, Setup
from moshi_zoo.zoo.sampling import Sampling

FRAME = 1920
MODEL = Served("runs/echo")
LOCAL = Access("127.0.0.1")


class Echoes:
    """Each row says what it hears, half as loud, and counts its frames, beginning at its seed.

    Args:
        max_sessions: rows.
        step_s: how long a step takes.
        delay: frames before the voice begins.
        hears: whether it writes down that it has heard something, in every second frame.
    """

    sample_rate, frame_size, frame_rate = 24000, FRAME, 12.5
    sampling = Sampling(0.3, 0.5)

    def __init__(self, max_sessions=2, *, step_s=0.0, delay=0, hears=False):
        self.max_sessions, self.step_s, self.delay, self.hears = max_sessions, step_s, delay, hears
        self.joined, self.counts, self.batches = {}, {}, []
        self.broken = False
        self._thread = None

    @property
    def free(self):
        return self.max_sessions - len(self.joined)

    def join(self, settings):
        self._check_thread()
        row = next((row for row in range(self.max_sessions) if row not in self.joined), None)
        if row is None:
            raise Full("all taken")
        self.joined[row], self.counts[row] = settings, 0
        return row

    def warm_up(self):
        self._check_thread()

    def leave(self, row):
        self._check_thread()
        del self.joined[row]

    def reset(self, row, settings=None):
        self._check_thread()
        assert row in self.joined
        self.counts[row] = 0

    def step(self, heard: Mapping[int, np.ndarray]):
        self._check_thread()
        assert heard
        assert set(heard) <= set(self.joined)
        if self.broken:
            raise RuntimeError("out of memory")
        self.batches.append(sorted(heard))
        time.sleep(self.step_s)
        return {row: self._speak(row, frame) for row, frame in heard.items()}

    def _speak(self, row, frame):
        assert frame.shape == (FRAME,)
        assert frame.dtype == np.float32
        number = self.joined[row].seed + self.counts[row]
        self.counts[row] += 1
        wav = frame / 2 if self.counts[row] > self.delay else None
        if self.hears and self.counts[row] % 2 == 0:
            return Spoken(number, None, None, wav, heard=" é")
        return Spoken(number, f" {number}", None, wav)

    def _check_thread(self):
        self._thread = self._thread or threading.get_ident()
        assert self._thread == threading.get_ident(), "conversations belong to one thread"


class Client:
    """A well-behaved client of raw 16-bit samples, in lockstep: a frame, its reply."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse):
        self.socket = socket

    async def next(self) -> tuple[Kind, bytes]:
        """The next message that is no ping; a close is an error that says its code."""
        while True:
            async with asyncio.timeout(5):
                received = await self.socket.receive()
            if received.type is not aiohttp.WSMsgType.BINARY:
                raise ConnectionError(f"closed with {self.socket.close_code}")
            if received.data[0] != Kind.PING:
                return Kind(received.data[0]), received.data[1:]

    async def greeting(self) -> dict:
        """Reads the handshake and returns the metadata."""
        assert await self.next() == (Kind.HANDSHAKE, b"")
        kind, payload = await self.next()
        assert kind is Kind.METADATA
        return json.loads(payload)

    async def send(self, kind: Kind, payload: bytes = b"") -> None:
        await self.socket.send_bytes(bytes([kind]) + payload)

    async def say(self, samples: np.ndarray) -> tuple[np.ndarray, str]:
        """Sends a frame of int16 samples and returns sound and text of the reply."""
        await self.send(Kind.AUDIO, samples.tobytes())
        kind, sound = await self.next()
        assert kind is Kind.AUDIO
        kind, text = await self.next()
        assert kind is Kind.TEXT
        return np.frombuffer(sound, "<i2"), text.decode()

    async def goodbye(self) -> tuple[str, int | None]:
        """Reads to the end: the message of the error, and the close code."""
        said = ""
        try:
            while True:
                kind, payload = await self.next()
                said = payload.decode() if kind is Kind.ERROR else said
        except ConnectionError:
            return said, self.socket.close_code


def noise(index: int, *, size: int = FRAME) -> np.ndarray:
    """Even int16 samples, so that half of them is whole."""
    return (np.random.default_rng(index).integers(-8000, 8000, size) * 2).astype("<i2")


@asynccontextmanager
async def serving(echoes: Echoes, *, access: Access = LOCAL, started: bool = True, **limits) -> AsyncIterator[Server]:
    """A running server; at the end, all rows must be free and the model's thread gone."""
    bounds = replace(Limits(close_s=0.5), **limits)
    server = Server(lambda: echoes, MODEL, Setup(access, 0, max_sessions=echoes.max_sessions, limits=bounds))
    await server.start()
    try:
        yield server
    finally:
        await server.close()
        assert not [thread for thread in threading.enumerate() if thread.name == "step loop"]


@asynccontextmanager
async def talking(server: Server, query: str = "", **options) -> AsyncIterator[Client]:
    """A client of raw samples."""
    url = f"http://127.0.0.1:{server.port}/api/chat?format=pcm{query}"
    async with aiohttp.ClientSession() as http, http.ws_connect(url, **options) as socket:
        yield Client(socket)


async def eventually(true: Callable[[], bool], *, seconds: float = 5.0) -> None:
    """Waits for something that takes its time."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.005)


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Runs an asynchronous test, for a minute at most."""
    asyncio.run(asyncio.wait_for(test(), 60))
