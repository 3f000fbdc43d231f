"""The verb that serves conversations."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import threading

import aiohttp
import numpy as np
import pytest

from moshi_zoo.cli import serve as verb
from moshi_zoo.runtime.serve_log import LOGGER
from tests.runtime.pairs import save_pair


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Zoo folders `moshi` and `mimi` in `checkpoints/`; nobody else hears the log."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(LOGGER, "handlers", [])
    save_pair(tmp_path / "checkpoints")


async def converse(address, frames):
    """Says silence; returns the metadata and how many frames came back."""
    heard = 0
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{address}api/chat?format=pcm") as websocket:
        assert (await websocket.receive(timeout=10)).data == b"\0"
        metadata = json.loads((await websocket.receive(timeout=10)).data[1:])
        for _ in range(frames):
            await websocket.send_bytes(b"\1" + np.zeros(1920, "<i2").tobytes())
        while heard < frames - 1:
            heard += (await websocket.receive(timeout=10)).data[0] == 1
    return metadata


def test_a_model_is_served_until_a_signal_comes(moshi_zoo, models, monkeypatch):
    found = {}

    def visit(address):
        try:
            found["metadata"] = asyncio.run(converse(address, 6))
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_ready(address):
        say_where(address)
        threading.Thread(target=visit, args=(address,)).start()

    say_where = verb._say_where
    monkeypatch.setattr(verb, "_say_where", on_ready)
    handler = signal.getsignal(signal.SIGTERM)
    words = "--max-sessions", 2, "--compile", "never", "--threads", 1
    code, out, err = moshi_zoo("serve", "--model", "moshi", "--port", 0, *words)
    assert code == 0
    assert "Open http://127.0.0.1:" in out
    assert found["metadata"]["model"] == "moshi"
    events = [json.loads(line)["event"] for line in err.splitlines()]
    assert events[:2] == ["ready", "session started"]
    assert sorted(events[2:]) == ["closing", "session ended"]
    assert signal.getsignal(signal.SIGTERM) == handler


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "nobody"], "nobody"),
        (["--model", "mimi"], "with which nobody can talk"),
        (["--model", "moshi", "--host", "0.0.0.0"], "give a token (--token WORD"),
        (["--model", "moshi", "--token", "short"], "can be guessed"),
        (["--model", "moshi", "--max-sessions", "0"], "max_sessions (0) must be 1 or more"),
        (["--model", "moshi", "--threads", "0"], "threads (0) must be 1 or more"),
        (["--model", "moshi", "--ssl-cert", "cert.pem"], "--ssl-cert and --ssl-key belong together"),
        (["--model", "moshi", "--ssl-cert", "cert.pem", "--ssl-key", "key.pem"], "there is no file cert.pem"),
        (["--model", "moshi", "--static", "checkpoints"], "has no index.html"),
        (["--model", "moshi", "--device", "moon"], "device 'moon' cannot be used"),
        (["--model", "moshi", "--allow-origin", "example.org"], "it should be like https://example.org"),
    ],
)
def test_wrong_use_is_told_in_a_line(moshi_zoo, models, words, message):
    code, _, err = moshi_zoo("serve", "--port", 0, *words)
    assert code == 2
    assert message in err.splitlines()[-1]
    assert "Traceback" not in err


def test_a_token_may_come_from_the_environment_or_be_made(models, monkeypatch):
    servers = []

    async def take(server, *, on_ready):
        servers.append(server)

    monkeypatch.setattr("moshi_zoo.runtime.serving.serve_until_stopped", take)
    monkeypatch.setenv("MOSHI_ZOO_TOKEN", "a token of the environment")
    verb.serve(model="moshi", host="0.0.0.0")
    verb.serve(model="moshi", host="0.0.0.0", token="new")
    verb.serve(model="moshi", host="0.0.0.0", token="new")
    given, made, another = (server._setup.access.token for server in servers)
    assert given == "a token of the environment"
    assert len({made, another}) == 2
    assert min(len(made), len(another)) > 30


def test_https_needs_no_more_than_a_certificate(models, tmp_path, monkeypatch):
    openssl = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost"
    try:
        subprocess.run([*openssl.split(), "-keyout", "key.pem", "-out", "cert.pem"], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no openssl here to make a certificate")
    from moshi_zoo.runtime.serving import tls_context
    from tests.runtime.echoes import LOCAL, MODEL, Echoes, Server, Setup

    async def test():
        server = Server(Echoes, MODEL, Setup(LOCAL, 0, tls=tls_context(tmp_path / "cert.pem", tmp_path / "key.pem")))
        await server.start()
        try:
            assert server.address.startswith("https://")
            async with aiohttp.ClientSession() as http:
                async with http.get(f"{server.address}api/health", ssl=False) as answer:
                    assert (await answer.json())["status"] == "ok"
                async with http.ws_connect(f"{server.address}api/chat", ssl=False) as websocket:
                    assert (await websocket.receive(timeout=5)).data == b"\0"
        finally:
            await server.close()

    asyncio.run(asyncio.wait_for(test(), 30))
    (tmp_path / "key.pem").write_text("no key")
    with pytest.raises(ValueError, match="no certificate and key in PEM"):
        tls_context(tmp_path / "cert.pem", tmp_path / "key.pem")


def test_the_log_is_lines_of_json(capsys, monkeypatch):
    from moshi_zoo.runtime.serve_log import log_to_stderr, tell

    monkeypatch.setattr(LOGGER, "handlers", [])
    log_to_stderr()
    tell("hello", who="né", seconds=1.5)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["who"], line["seconds"]) == ("hello", "né", 1.5)
    assert LOGGER.level == logging.INFO
