"""`python -m moshi.client` of PyPI moshi talks to our server, unmodified."""

import asyncio
import importlib
import sys
import threading
import types

import aiohttp
import numpy as np
import pytest

from tests.runtime.echoes import FRAME, Echoes, eventually, run, serving

pytestmark = pytest.mark.parity
TONE = (0.5 * np.sin(np.arange(60 * FRAME) * 2 * np.pi * 440 / 24000)).astype(np.float32)


class Microphone:
    """Takes the place of a sound card: hears a tone, in the callback of `sounddevice.InputStream`."""

    def __init__(self, *, callback, **_):
        self._callback, self._thread = callback, threading.Thread(target=self._run)
        self._stopped = threading.Event()

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._stopped.set()
        self._thread.join()

    def _run(self):
        for start in range(0, len(TONE), FRAME):
            if self._stopped.wait(0.03):
                break
            self._callback(TONE[start : start + FRAME, None], FRAME, None, None)


class Loudspeaker:
    """Plays nothing: what would be played stays in the client's queue."""

    def __init__(self, **_):
        pass

    def __enter__(self):
        pass

    def __exit__(self, *_):
        pass


class Printer:
    """What the client shows."""

    def __init__(self):
        self.words, self.problems = [], []

    def print_token(self, token):
        self.words.append(token)

    def log(self, level, text):
        # of handshake and metadata, which the protocol has, it says that they are unknown
        expected = text in ("unknown message kind 0", "unknown message kind 4")
        self.problems += [] if expected or level == "info" else [text]

    def print_pending(self):
        pass


@pytest.fixture
def client(monkeypatch):
    pytest.importorskip("moshi.client_utils", reason="PyPI moshi is not installed")
    sound = types.SimpleNamespace(InputStream=Microphone, OutputStream=Loudspeaker)
    monkeypatch.setitem(sys.modules, "sounddevice", sound)
    yield importlib.import_module("moshi.client")
    sys.modules.pop("moshi.client")


def test_the_packages_client_hears_and_reads_what_the_model_says(client):
    async def test():
        printer = Printer()
        async with (
            serving(Echoes(1, hears=True)) as server,
            aiohttp.ClientSession() as http,
            http.ws_connect(f"ws://localhost:{server.port}/api/chat") as websocket,
        ):
            connection = client.Connection(printer, websocket, event_loop=asyncio.get_running_loop())
            talking = asyncio.create_task(connection.run())
            await eventually(lambda: connection._output_queue.qsize() >= 50, seconds=20)
            await websocket.close()
            await talking
        heard = np.concatenate([connection._output_queue.get() for _ in range(50)])[5 * FRAME :]
        assert heard.std() == pytest.approx(TONE.std() / 2, rel=0.05)
        first = int(printer.words[0])
        assert printer.words[:25] == [f" {first + 2 * i}" for i in range(25)]  # the others are the user's
        assert not printer.problems

    run(test)
