"""A server's life as a process: until somebody stops it."""

import asyncio
import contextlib
import signal
import ssl
from collections.abc import Callable
from pathlib import Path

from moshi_zoo.runtime.serve_log import tell
from moshi_zoo.runtime.server import Server

_STOPPING = signal.SIGINT, signal.SIGTERM


async def serve_until_stopped(server: Server, *, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGINT (Ctrl-C) or SIGTERM; a second one ends the process at once.

    Args:
        server: to run.
        on_ready: gets the address when conversations can begin.

    Raises:
        ValueError: if it cannot start.
    """
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    before = {number: signal.getsignal(number) for number in _STOPPING}

    def stop() -> None:
        stopped.set()
        for number in _STOPPING:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in _STOPPING:
        loop.add_signal_handler(number, stop)
    starting, stopping = asyncio.create_task(server.start()), asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            tell("ready", port=server.port)
            on_ready(server.address)
            await stopping
    finally:
        tell("closing")
        for task in (starting, stopping):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError, ValueError):
            await starting
        await server.close()
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """What https needs.

    Args:
        certificate: PEM file, with its chain.
        key: PEM file.

    Raises:
        ValueError: if the two cannot be used.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    for path in (certificate, key):
        if not path.is_file():
            raise ValueError(f"there is no file {path}")
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise ValueError(f"{certificate} and {key} are no certificate and key in PEM that belong together") from error
    return context
