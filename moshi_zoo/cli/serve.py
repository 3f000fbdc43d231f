"""The verb ``serve``: talk to a model in real time, many at once."""

import os
import secrets
from pathlib import Path
from typing import Literal

_NEW = "new"


def serve(
    *,
    model: str,
    codec: str | None = None,
    voice: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8998,
    max_sessions: int = 1,
    max_minutes: float = 30.0,
    device: str = "cpu",
    weights: Literal["float16", "int8", "int4"] | None = None,
    compile: Literal["auto", "always", "never"] = "auto",
    threads: int | None = None,
    token: str | None = None,
    allow_origin: list[str] | None = None,
    ssl_cert: Path | None = None,
    ssl_key: Path | None = None,
    static: Path | None = None,
) -> None:
    """Serve a Moshi to browsers, to `python -m moshi.client`, and to programs of your own.

    Open the address that it prints. It speaks Kyutai's websocket protocol on /api/chat (Ogg Opus; 16-bit PCM with
    ?format=pcm; what the user says, too, with ?heard=1, if the model writes it down), and has /api/health, /api/models
    and /metrics. What happens is logged on standard error, as JSON lines.

    Args:
        model: name or folder of a Moshi.
        codec: name or folder of its codec; the one it was trained with, if not given.
        voice: name or folder of an adapter of it.
        host: to listen on. Beyond this machine, clients need a token.
        port: to listen on; 0 takes a free one.
        max_sessions: conversations at once; a step computes the rows of all of them.
        max_minutes: length of a conversation.
        device: where to compute, such as cpu or cuda.
        weights: on a CPU: of the model's products, in fewer bits, which are read faster; small ones stay as they are.
        compile: on a CPU: the step of the model, as C++; it then takes half to two thirds of the time. Auto: for more
            than one session, where there is a compiler. The first start takes minutes for that, the next ones less than
            one.
        threads: of the CPU that a step uses; by default one for a small model, else all cores.
        token: a word of 16 characters or more that clients must know; `new` makes one. By default what the environment
            says as MOSHI_ZOO_TOKEN.
        allow_origin: pages elsewhere that may talk to it, such as https://example.org.
        ssl_cert: certificate in PEM, for https. Browsers give no microphone to pages from elsewhere without it.
        ssl_key: its key.
        static: folder of another web client, such as Kyutai's.
    """
    from dataclasses import replace

    from moshi_zoo.cli.load_codec import check_device
    from moshi_zoo.runtime.access import Access
    from moshi_zoo.runtime.limits import Limits
    from moshi_zoo.runtime.serving import tls_context

    if max_sessions < 1 or max_minutes <= 0:
        raise ValueError(f"max_sessions ({max_sessions}) must be 1 or more, max_minutes ({max_minutes:g}) positive")
    if threads is not None and threads < 1:
        raise ValueError(f"threads ({threads}) must be 1 or more")
    if (ssl_cert is None) != (ssl_key is None):
        raise ValueError("--ssl-cert and --ssl-key belong together: give both or none")
    token = token or os.environ.get("MOSHI_ZOO_TOKEN") or None
    access = Access(host, secrets.token_urlsafe() if token == _NEW else token, tuple(allow_origin or ()))
    limits = replace(Limits(), session_s=max_minutes * 60)
    tls = tls_context(ssl_cert, ssl_key) if ssl_cert and ssl_key else None
    check_device(device)

    import asyncio

    from moshi_zoo.runtime.loading import load_conversations
    from moshi_zoo.runtime.serve_log import log_to_stderr
    from moshi_zoo.runtime.server import Served, Server, Setup
    from moshi_zoo.runtime.serving import serve_until_stopped
    from moshi_zoo.runtime.web_files import OUR_CLIENT
    from moshi_zoo.zoo import uri

    uri.resolve(model)  # a wrong name is told before anything is started
    server = Server(
        lambda: load_conversations(
            model,
            codec=codec,
            voice=voice,
            max_sessions=max_sessions,
            device=device,
            weights=weights,
            compile=compile,
            threads=threads or "auto",
            tell=lambda what: print(what, flush=True),
        ),
        Served(model, codec, voice),
        Setup(access, port, max_sessions=max_sessions, limits=limits, web=static or OUR_CLIENT, tls=tls),
    )
    log_to_stderr()
    print(f"Loading {model} ...", flush=True)
    asyncio.run(serve_until_stopped(server, on_ready=_say_where))


def _say_where(address: str) -> None:
    print(f"Open {address} in a browser. Ctrl-C ends it.", flush=True)
