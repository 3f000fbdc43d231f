"""The real-time server: one model, many who talk to it at once, and a web page.

It listens at once and loads its model meanwhile. ``/api/chat`` is the websocket of :mod:`moshi_zoo.runtime.protocol`;
``/api/health`` and ``/api/models`` answer in JSON, ``/metrics`` for Prometheus, everything else is the web client's.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from moshi_zoo.runtime.access import Access
from moshi_zoo.runtime.conversations import Conversations
from moshi_zoo.runtime.ending import FULL, LOADING, SHUTDOWN, Ending, part
from moshi_zoo.runtime.limits import Limits
from moshi_zoo.runtime.protocol import ChatQuery, CloseCode, read_query
from moshi_zoo.runtime.serve_metrics import ServeMetrics
from moshi_zoo.runtime.session import Session
from moshi_zoo.runtime.step_loop import StepLoop
from moshi_zoo.runtime.web_files import HEADERS, OUR_CLIENT, WebFiles

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HEALTH = "/api/health"
_UNSENT_BYTES = 1 << 14
"""That wait for a client that reads slowly, and four times as many in the system. After them its frames wait, where
they can give way."""


@dataclass(frozen=True)
class Served:
    """What is served, by the names that clients are shown.

    Args:
        model: the Moshi.
        codec: its codec; None: the one it was made with.
        voice: an adapter; None: its own voice.
    """

    model: str
    codec: str | None = None
    voice: str | None = None


@dataclass(frozen=True)
class Setup:
    """How to serve.

    Args:
        access: who may talk, and the host to listen on.
        port: to listen on; 0 takes a free one.
        max_sessions: at once; the conversations have as many rows.
        limits: of each.
        web: folder of the web client.
        tls: makes it https.
    """

    access: Access = field(default_factory=lambda: Access("127.0.0.1"))
    port: int = 8998
    max_sessions: int = 1
    limits: Limits = field(default_factory=Limits)
    web: Path = OUR_CLIENT
    tls: ssl.SSLContext | None = None


class Server:
    """Serves conversations.

    Args:
        load: makes them, with ``max_sessions`` rows.
        served: what they are called.
        setup: how to serve.

    Raises:
        ValueError: if there is no web client where it should be.
    """

    def __init__(self, load: Callable[[], Conversations], served: Served, setup: Setup):
        self._served, self._setup = served, setup
        self.metrics = ServeMetrics()
        self.steps = StepLoop(load, self.metrics, backlog=setup.limits.backlog)
        self._sessions: set[Session] = set()
        self._closing = False
        self._listener: asyncio.Server | None = None
        app = web.Application(middlewares=[self._check_access], client_max_size=1024)
        app.router.add_get("/api/chat", self._chat)
        app.router.add_get(_HEALTH, self._health)
        app.router.add_get("/api/models", self._models)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/{path:.*}", WebFiles(setup.web).answer)
        self._runner = web.AppRunner(
            app,
            access_log=None,  # it would hold tokens
            keepalive_timeout=setup.limits.request_s,
            lingering_time=0,
            shutdown_timeout=2 * setup.limits.close_s,
        )

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._listener is not None, "listen() comes first"
        return self._listener.sockets[0].getsockname()[1]

    @property
    def address(self) -> str:
        """What to open in a browser."""
        host, token = self._setup.access.host, self._setup.access.token
        name = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, f"[{host}]" if ":" in host else host)
        return f"http{'s' if self._setup.tls else ''}://{name}:{self.port}/" + (f"?token={token}" if token else "")

    async def start(self) -> None:
        """Listen, load the model, and return when conversations can begin.

        Raises:
            ValueError: if the port cannot be had, or the model.
        """
        await self._runner.setup()
        host, port = self._setup.access.host, self._setup.port
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(self._connection, host, port, ssl=self._setup.tls)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = "is taken: choose another with --port" if taken else f"cannot be listened on: {error.strerror}"
            raise ValueError(f"port {port} of {host} {why}") from error
        self.steps.start()
        await asyncio.wrap_future(self.steps.loaded)

    async def close(self) -> None:
        """Tell all who talk, and end everything."""
        self._closing = True
        if self._listener is not None:
            self._listener.close()
        for session in list(self._sessions):
            session.end(SHUTDOWN)
        await self._runner.cleanup()  # waits for the goodbyes
        await asyncio.to_thread(self.steps.stop)

    def _connection(self) -> RequestHandler:
        """The protocol of a new connection; one too many is cut at once."""
        server = self._runner.server
        assert server is not None
        protocol = server()
        if len(server.connections) >= self._setup.max_sessions + self._setup.limits.spare_connections:
            asyncio.get_running_loop().call_later(0, protocol.force_close)  # later: now it has no transport yet
        return protocol

    @web.middleware
    async def _check_access(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        access = self._setup.access
        if not access.may_come_from(request):
            return _json({"error": "pages from elsewhere may not talk to this server: see --allow-origin"}, status=403)
        needs_token = request.path == "/metrics" or (request.path.startswith("/api/") and request.path != _HEALTH)
        if needs_token and not access.is_known(request):
            self.metrics.refused["token"] += 1
            return _json({"error": "the token is missing or wrong: add ?token=... to the address"}, status=401)
        return await handler(request)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        admitted, limits, transport = self._admit(request), self._setup.limits, request.transport
        websocket = web.WebSocketResponse(
            timeout=limits.close_s,
            heartbeat=limits.heartbeat_s,
            autoping=False,  # pings count as messages
            compress=False,
            max_msg_size=limits.message_bytes,
            writer_limit=_UNSENT_BYTES,
        )
        if isinstance(admitted, Ending):
            return await self._refuse(request, websocket, admitted)
        if not websocket.can_prepare(request):
            return _json({"error": "this is a websocket: connect with ws://"}, status=426)
        if transport is not None:
            transport.set_write_buffer_limits(high=_UNSENT_BYTES)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * _UNSENT_BYTES)
        self.metrics.sessions_total += 1
        name = str(self.metrics.sessions_total)
        session = Session(name, websocket, admitted, self.steps, limits)
        self._sessions.add(session)
        try:
            await websocket.prepare(request)
            ending = await session.hold(self._introduction(), peer=request.remote)
        finally:
            self._sessions.discard(session)
        await part(websocket, transport, ending, limits.close_s)
        return websocket

    def _admit(self, request: web.Request) -> ChatQuery | Ending:
        if self._closing:
            return SHUTDOWN
        if not self.steps.is_ready:
            return LOADING
        if len(self._sessions) >= self._setup.max_sessions:
            return FULL
        try:
            return read_query(request.query, self.steps.conversations.sampling)
        except ValueError as error:
            return Ending("query", CloseCode.POLICY, str(error))

    async def _refuse(self, request: web.Request, websocket: web.WebSocketResponse, why: Ending) -> web.StreamResponse:
        """Clients of websockets see nothing of an answer in HTTP: they are told in the protocol."""
        self.metrics.refused[why.reason] += 1
        if not websocket.can_prepare(request):
            return _json({"error": why.message}, status=400 if why.code == CloseCode.POLICY else 503)
        transport = request.transport
        await websocket.prepare(request)
        await part(websocket, transport, why, self._setup.limits.close_s)
        return websocket

    def _introduction(self) -> dict[str, object]:
        conversations, limits = self.steps.conversations, self._setup.limits
        return {
            "model": self._served.model,
            "codec": self._served.codec,
            "voice": self._served.voice,
            "frame_rate": conversations.frame_rate,
            "frame_size": conversations.frame_size,
            "sample_rate": conversations.sample_rate,
            "limits": {
                "session_s": limits.session_s,
                "idle_s": limits.idle_s,
                "message_bytes": limits.message_bytes,
                "messages_per_s": limits.messages_per_s,
            },
        }

    async def _health(self, request: web.Request) -> web.Response:
        loaded, sessions, places = self.steps.is_ready, len(self._sessions), self._setup.max_sessions
        status = "closing" if self._closing else "loading" if not loaded else "full" if sessions >= places else "ok"
        said = {
            "status": status,
            "sessions": sessions,
            "max_sessions": places,
            "model": self._served.model,
            "frame_rate": self.steps.conversations.frame_rate if loaded else None,
        }
        return _json(said, status=200 if status in ("ok", "full") else 503)

    async def _models(self, request: web.Request) -> web.Response:
        served = self._served
        voices = [served.voice] if served.voice else []
        sampling = asdict(self.steps.conversations.sampling) if self.steps.is_ready else None
        return _json({"model": served.model, "codec": served.codec, "voices": voices, "sampling": sampling})

    async def _metrics(self, request: web.Request) -> web.Response:
        text = self.metrics.as_prometheus(
            sessions=len(self._sessions),
            max_sessions=self._setup.max_sessions,
            queue_frames=self.steps.queue_frames,
        )
        return web.Response(text=text, headers={**HEADERS, "Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


def _json(content: Mapping[str, object], *, status: int = 200) -> web.Response:
    return web.json_response(content, status=status, headers=HEADERS)
