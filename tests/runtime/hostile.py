"""Clients that do what they should not. Each is a coroutine that gets a port and a seed."""

import asyncio
import contextlib
import os
import socket
import struct

import aiohttp
import numpy as np
import sphn

from moshi_zoo.runtime.protocol import Kind

GONE = (ConnectionError, aiohttp.ClientError, asyncio.IncompleteReadError)


@contextlib.asynccontextmanager
async def connected(port, query="", **options):
    """A websocket; what happens to it is expected."""
    with contextlib.suppress(*GONE):
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(f"http://127.0.0.1:{port}/api/chat?{query}", **options) as websocket,
        ):
            yield websocket
            await websocket.close()


def opus(seconds=1.0, seed=0) -> bytes:
    """An Ogg stream."""
    samples = np.random.default_rng(seed).normal(size=int(24000 * seconds)).astype(np.float32) / 10
    return sphn.OpusStreamWriter(24000).append_pcm(samples)


def ogg_page(lacing: bytes, body: bytes, *, flags=0, sequence=2) -> bytes:
    """A page without a valid checksum, which the decoder does not look at."""
    return b"OggS" + struct.pack("<BBqIIIB", 0, flags, 0, 42, sequence, 0, len(lacing)) + lacing + body


def ogg_head() -> bytes:
    """The two pages that begin a stream."""
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, 48000, 0, 0)
    tags = b"OpusTags" + struct.pack("<I", 0) + struct.pack("<I", 0)
    return ogg_page(bytes([len(head)]), head, flags=2, sequence=0) + ogg_page(bytes([len(tags)]), tags, sequence=1)


def websocket_frame(payload: bytes, *, opcode=2, length: int | None = None, first=0x80) -> bytes:
    """A masked frame; ``length`` may lie."""
    length = len(payload) if length is None else length
    size = bytes([0x80 | length]) if length < 126 else bytes([0x80 | 127]) + struct.pack(">Q", length)
    return bytes([first | opcode]) + size + b"\0\0\0\0" + payload


async def raw_websocket(port, query=""):
    """Reader and writer of a connection after the upgrade."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET /api/chat?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def cut(writer, *, reset: bool) -> None:
    """Ends a connection, politely or with a reset."""
    if reset:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()
    with contextlib.suppress(*GONE):
        await writer.wait_closed()


async def random_messages(port, seed):
    chance = np.random.default_rng(seed)
    async with connected(port) as websocket:
        for size in chance.integers(0, 3000, 30):
            await websocket.send_bytes(chance.bytes(size))


async def random_audio(port, seed):
    async with connected(port) as websocket:
        await websocket.send_bytes(bytes([Kind.AUDIO]) + np.random.default_rng(seed).bytes(2000))
        await websocket.receive()


async def damaged_opus(port, seed):
    chance = np.random.default_rng(seed)
    stream = bytearray(opus(1.0, seed))
    for at in chance.integers(100, len(stream), 1 + seed % 20):
        stream[at] ^= 1 << chance.integers(8)
    async with connected(port) as websocket:
        for start in range(0, len(stream), 300):
            await websocket.send_bytes(bytes([Kind.AUDIO]) + stream[start : start + 300])


async def truncated_opus(port, seed):
    stream = opus()
    async with connected(port) as websocket:
        await websocket.send_bytes(bytes([Kind.AUDIO]) + stream[: 500 + seed % 500])
        await websocket.send_bytes(bytes([Kind.AUDIO]) + stream[2000:2500])


async def ogg_without_end(port, seed):
    async with connected(port) as websocket:
        await websocket.send_bytes(bytes([Kind.AUDIO]) + ogg_head())
        for i in range(10):
            page = ogg_page(b"\xff" * 255, os.urandom(255 * 255), flags=min(i, 1))[:65000]
            await websocket.send_bytes(bytes([Kind.AUDIO]) + page)


async def hours_in_a_message(port, seed):
    """60 ms in each byte."""
    page = ogg_page(b"\x01" * 14, b"\x18" * 14)
    async with connected(port) as websocket:
        await websocket.send_bytes(bytes([Kind.AUDIO]) + ogg_head() + page * 1000)
        await websocket.receive()


async def dense_page(port, seed):
    async with connected(port) as websocket:
        page = ogg_page(b"\x01" * 255, b"\x18" * 255)
        await websocket.send_bytes(bytes([Kind.AUDIO]) + ogg_head() + page * 100)


async def text_frames(port, seed):
    async with connected(port) as websocket:
        for _ in range(20):
            await websocket.send_str("\x01 is not audio")
        await websocket.send_bytes(b"")
        await websocket.send_bytes(bytes([Kind.CONTROL]))
        await websocket.send_bytes(bytes([Kind.CONTROL, 77, 1]))
        await websocket.send_bytes(bytes([200, 1, 2]))


async def huge_message(port, seed):
    async with connected(port) as websocket:
        await websocket.send_bytes(bytes([Kind.AUDIO]) + bytes(1 << 20))


async def promise_of_a_huge_message(port, seed):
    reader, writer = await raw_websocket(port)
    writer.write(websocket_frame(b"\x01only this", length=1 << 40))
    await reader.read()
    await cut(writer, reset=False)


async def message_in_a_million_fragments(port, seed):
    _, writer = await raw_websocket(port)
    with contextlib.suppress(*GONE):
        writer.write(websocket_frame(b"\x01", first=0))
        for _ in range(100):
            writer.write(websocket_frame(b"", opcode=0, first=0) * 1000)
            await asyncio.wait_for(writer.drain(), 1)
    await cut(writer, reset=True)


async def broken_frames(port, seed):
    _, writer = await raw_websocket(port)
    writer.write(np.random.default_rng(seed).bytes(400))
    await asyncio.sleep(0.05)
    await cut(writer, reset=False)


async def gone_within_a_frame(port, seed):
    _, writer = await raw_websocket(port, "format=pcm")
    writer.write(websocket_frame(b"\x01" + bytes(3840)) + websocket_frame(b"\x01" + bytes(3840))[:100])
    await writer.drain()
    await cut(writer, reset=bool(seed % 2))


async def gone_at_once(port, seed):
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /api/chat HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: webso"[: 5 + seed])
    await cut(writer, reset=bool(seed % 2))


async def flood(port, seed):
    async with connected(port) as websocket:
        for _ in range(1500):
            await websocket.send_bytes(b"\x09")


async def flood_of_pings(port, seed):
    async with connected(port, autoping=False) as websocket:
        for _ in range(1500):
            await websocket.ping(b"x" * 100)


async def faster_than_speech(port, seed):
    async with connected(port, "format=pcm") as websocket:
        for _ in range(60):
            await websocket.send_bytes(b"\x01" + bytes(24000))


async def impatient(port, seed):
    async with connected(port, "format=pcm") as websocket:
        for _ in range(10):
            await websocket.send_bytes(bytes([Kind.CONTROL, 3]))
            await websocket.send_bytes(b"\x01" + bytes(3840))


async def rude_http(port, seed):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(np.random.default_rng(seed).bytes(300) + b"\r\n\r\n")
    with contextlib.suppress(*GONE):
        await asyncio.wait_for(reader.read(), 2)
    await cut(writer, reset=False)


async def post_without_end(port, seed):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /api/health HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000000\r\n\r\n" + bytes(1000))
    with contextlib.suppress(*GONE):
        await asyncio.wait_for(reader.read(), 2)
    await cut(writer, reset=True)


DEEDS = (
    random_messages,
    random_audio,
    damaged_opus,
    truncated_opus,
    ogg_without_end,
    hours_in_a_message,
    dense_page,
    text_frames,
    huge_message,
    promise_of_a_huge_message,
    message_in_a_million_fragments,
    broken_frames,
    gone_within_a_frame,
    gone_at_once,
    flood,
    flood_of_pings,
    faster_than_speech,
    impatient,
    rude_http,
    post_without_end,
)
