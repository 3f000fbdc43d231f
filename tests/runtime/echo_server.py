"""A stand-in for the real server: serves the page, and says what it hears at half the volume, with a few words."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
from aiohttp import WSMsgType, web

import moshi_zoo.runtime

WEB = Path(moshi_zoo.runtime.__file__).parent / "web"
HANDSHAKE, AUDIO, TEXT, ERROR, HEARD = b"\0", b"\1", b"\2", b"\5", b"\7"
HEARD_WORDS = ["▁what", "▁is", "▁th", "is?"]
WORDS = ["▁Hel", "lo,", "▁who", "▁is", "▁there", "?"]


class EchoServer:
    """Speaks 16-bit PCM only. What it heard and was asked is in its attributes."""

    def __init__(self):
        self.health = {"status": "ok", "sessions": 0, "max_sessions": 1, "model": "echo"}
        self.models = {"model": "echo", "codec": "echo codec", "voices": [], "sampling": None}
        self.token = ""
        self.refusal = ""  # says this instead of a handshake
        self.hears = False  # writes down what it hears, or so it says
        self.lasts = float("inf")  # frames until it vanishes
        self.query: dict[str, str] = {}
        self.heard = np.zeros(0, np.int16)
        self.frames = 0

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_get("/", self._page)
        app.router.add_get("/api/health", self._health)
        app.router.add_get("/api/models", self._models)
        app.router.add_get("/api/chat", self._chat)
        app.router.add_static("/", WEB)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
        await runner.cleanup()

    async def _page(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(WEB / "index.html")

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response(self.health)

    async def _models(self, request: web.Request) -> web.Response:
        if request.query.get("token", "") != self.token:
            return web.json_response({"error": "the token is missing or wrong"}, status=401)
        return web.json_response(self.models)

    async def _chat(self, request: web.Request) -> web.WebSocketResponse:
        self.query = dict(request.query)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if self.refusal:
            await socket.send_bytes(ERROR + self.refusal.encode())
            return socket
        await socket.send_bytes(HANDSHAKE)
        async for message in socket:
            if message.type is not WSMsgType.BINARY or message.data[:1] != AUDIO:
                continue
            frame = np.frombuffer(message.data[1:], "<i2")
            self.heard = np.append(self.heard, frame)
            await socket.send_bytes(AUDIO + (frame // 2).tobytes())
            if self.frames < len(WORDS):
                await socket.send_bytes(TEXT + WORDS[self.frames].replace("▁", " ").encode())
            if self.hears and 10 <= self.frames < 10 + len(HEARD_WORDS):
                word = HEARD_WORDS[self.frames - 10].replace("▁", " ")
                await socket.send_bytes(HEARD + b"\1" + word.encode())
                await socket.send_bytes(TEXT + b"!")  # at the same time
            self.frames += 1
            if self.frames >= self.lasts:
                break
        return socket
