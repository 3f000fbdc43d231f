"""A malformed, oversized, slow or vanishing client hurts nobody else, and leaves nothing behind."""

import asyncio
import contextlib
import gc
import json
import socket
import time
from pathlib import Path

import numpy as np
import pytest

from moshi_zoo.runtime.protocol import CloseCode, Kind
from moshi_zoo.runtime.session import Session
from tests.runtime import hostile
from tests.runtime.echoes import Echoes, eventually, noise, run, serving, talking

PATIENCE_S = 0.5
"""Of computing, by server and clients, that a good client waits for a reply at most; a busy machine does not count."""


async def good_conversation(server, done: asyncio.Event, *, at_least=10):
    """Talks until the others are done; returns how many frames had their reply, each the right one."""
    frames = 0
    async with talking(server, "&text_seed=1000") as client:
        await client.greeting()
        while frames < at_least or not done.is_set():
            start = time.process_time()
            sound, text = await client.say(noise(frames))
            assert time.process_time() - start < PATIENCE_S
            np.testing.assert_array_equal(sound, noise(frames) // 2)
            assert text == f" {1000 + frames}"
            frames += 1
            await asyncio.sleep(0.01)
    return frames


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("deed", hostile.DEEDS, ids=lambda deed: deed.__name__)
def test_a_good_client_beside_a_bad_one_hears_what_it_hears_alone(deed):
    async def test():
        echoes, done = Echoes(3), asyncio.Event()
        async with serving(echoes, send_s=0.5, request_s=0.5) as server:
            good = asyncio.create_task(good_conversation(server, done))
            for seed in range(3):
                with contextlib.suppress(*hostile.GONE):
                    await asyncio.wait_for(deed(server.port, seed), 10)
            done.set()
            await good
            await eventually(lambda: not echoes.joined)
            await eventually(lambda: not server._sessions)
            await eventually(lambda: not server._runner.server.connections)
            assert not server.steps.seats
            assert not server.metrics.failed_steps
            assert server.metrics.ended.get("failure", 0) == 0
            assert server.metrics.ended["left"] >= 1

    run(test)


def test_a_crowd_of_bad_clients_leaves_nothing_behind():
    async def test():
        echoes, done = Echoes(4), asyncio.Event()
        async with serving(echoes, send_s=0.5, request_s=0.5) as server:
            before = open_files()
            good = asyncio.create_task(good_conversation(server, done))
            await asyncio.sleep(0.2)  # it has its seat
            chance = np.random.default_rng(0)
            for _ in range(4):
                deeds = [hostile.DEEDS[i](server.port, int(i)) for i in chance.permutation(len(hostile.DEEDS))[:10]]
                await asyncio.gather(*(asyncio.wait_for(deed, 10) for deed in deeds), return_exceptions=True)
            done.set()
            await good
            await eventually(lambda: not echoes.joined and not server._runner.server.connections)
            assert open_files() <= before
            gc.collect()
            assert not [thing for thing in gc.get_objects() if type(thing) is Session]

    run(test)


def test_a_client_that_does_not_read_is_dropped_and_counted():
    async def test():
        echoes, done = Echoes(2), asyncio.Event()
        async with serving(echoes, send_s=0.5, burst_s=100.0, replies=5) as server:
            good = asyncio.create_task(good_conversation(server, done))
            _, writer = await hostile.raw_websocket(server.port, "format=pcm")
            writer.transport.pause_reading()
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            async with asyncio.timeout(20):
                while not server.metrics.ended:
                    writer.write(hostile.websocket_frame(b"\x01" + bytes(3840)))
                    await asyncio.sleep(0.021)
            assert server.metrics.ended == {"stalled": 1}
            assert server.metrics.dropped["spoken"] > 0
            done.set()
            await good
            await hostile.cut(writer, reset=True)

    run(test)


def test_a_connection_without_a_whole_request_is_closed():
    async def test():
        async with serving(Echoes(), request_s=0.3) as server:
            for begin in (b"", b"GET / HTTP/1.1\r\nHost: 127"):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(begin)
                assert await asyncio.wait_for(reader.read(), 3) == b""
                writer.close()

    run(test)


def test_too_many_connections_are_cut():
    async def test():
        async with serving(Echoes(1), spare_connections=4) as server:
            kept = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(5)]
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            assert await asyncio.wait_for(reader.read(), 3) == b""
            for _, writer in kept:
                writer.close()

    run(test)


@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [
        (bytes([Kind.AUDIO]) + b"no Ogg at all, but many bytes of it", CloseCode.INVALID_DATA, "bad audio"),
        (bytes([Kind.AUDIO]) + bytes(70000), CloseCode.TOO_BIG, "too big"),
        (
            bytes([Kind.AUDIO]) + hostile.ogg_head() + hostile.ogg_page(b"\x01" * 14, b"\x18" * 14) * 500,
            1008,
            "too fast",
        ),
    ],
)
def test_a_bad_client_is_told_why(payload, code, reason):
    async def test():
        async with serving(Echoes()) as server, hostile.connected(server.port) as websocket:
            await websocket.send_bytes(payload)
            while not websocket.closed:
                await websocket.receive(timeout=5)
            assert websocket.close_code == code
            await eventually(lambda: server.metrics.ended == {reason: 1})

    run(test)


def test_a_backlog_is_cut_at_its_old_end_and_counted():
    async def test():
        async with serving(Echoes(step_s=0.05), backlog=4) as server, talking(server) as client:
            await client.greeting()
            frames = [noise(i) for i in range(20)]
            await client.send(Kind.AUDIO, np.concatenate(frames[:10]).tobytes())
            await client.send(Kind.AUDIO, np.concatenate(frames[10:]).tobytes())
            sounds, told = [], []
            while not sounds or (sounds[-1] != frames[-1] // 2).any():
                kind, payload = await client.next()
                if kind is Kind.AUDIO:
                    sounds.append(np.frombuffer(payload, "<i2"))
                elif kind is Kind.METADATA:
                    told.append(json.loads(payload)["dropped"])
            dropped = server.metrics.dropped["heard"]
            assert dropped == 20 - len(sounds) > 5
            assert told[-1] == dropped
            assert server.metrics.late_frames > 0

    run(test)


def test_a_vanished_client_is_noticed():
    """Its machine has lost power: nothing comes any more, and no word of it."""

    async def test():
        async with serving(Echoes(), heartbeat_s=0.2) as server:
            _, writer = await hostile.raw_websocket(server.port)
            await eventually(lambda: bool(server.metrics.ended))
            assert server.metrics.ended == {"vanished": 1}
            await hostile.cut(writer, reset=True)

    run(test)
