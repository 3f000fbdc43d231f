"""A server under load, whose model is an echo."""

import asyncio
import os
import time
from types import SimpleNamespace

import numpy as np
import pytest

from moshi_zoo.evaluation import bench_serve
from moshi_zoo.evaluation.serve_clients import converse, frames_held_back, misbehave
from tests.runtime.echoes import Echoes, eventually, run, serving

SPEECH = (np.sin(np.arange(24000) * 0.05) / 2).astype(np.float32)


def beside(server):
    """The server of this process, as the bench sees its own."""
    return bench_serve._Server(SimpleNamespace(pid=os.getpid()), "127.0.0.1", server.port)


@pytest.mark.parametrize("form", ["pcm", "opus"])
def test_delays_are_those_of_the_server(form):
    async def test():
        async with serving(Echoes(1, step_s=0.03)) as server:
            url = beside(server).websocket
            heard = await converse(url, SPEECH, seconds=0.8, form=form, held_back=0)
            assert (heard.sent, heard.replies, heard.error) == (10, 10, "")
            assert 0.03 < np.median(heard.delays_s) < 0.5

    run(test)


def test_frames_that_a_model_holds_back_are_counted(monkeypatch):
    async def test():
        async with serving(Echoes(1, delay=2)) as server:
            assert await frames_held_back(beside(server).websocket, SPEECH) == 2
            await eventually(lambda: not server._sessions)
            heard = await converse(beside(server).websocket, SPEECH, seconds=0.8, form="pcm", held_back=2)
            assert heard.replies == len(heard.delays_s) == 8

    monkeypatch.setattr("moshi_zoo.evaluation.serve_clients._REPLY_S", 0.3)
    run(test)


def test_a_client_that_is_refused_says_why():
    async def test():
        async with serving(Echoes(1)) as server:
            url = beside(server).websocket
            first = asyncio.create_task(converse(url, SPEECH, seconds=0.8, form="pcm", held_back=0))
            await eventually(lambda: bool(server._sessions))
            assert "full" in (await converse(url, SPEECH, seconds=0.3, form="pcm", held_back=0)).error
            assert not (await first).error

    run(test)


def test_a_load_with_bad_clients_is_measured(monkeypatch):
    async def test():
        echoes = Echoes(4)
        async with serving(echoes) as server:
            heard, deeds, memory = await bench_serve._load(beside(server), SPEECH, 2, 2, 1.0, 0)
            assert [one.sent for one in heard] == [12, 12]
            assert all(len(one.delays_s) == 12 for one in heard)
            assert sum(deeds.values()) >= 2
            assert memory[0] > 10
            metrics = await asyncio.to_thread(beside(server).metrics)
            assert set(bench_serve._of_summary(metrics, "step_seconds")) == {"0.5", "0.9", "0.99", "1"}
            await eventually(lambda: not echoes.joined)

    monkeypatch.setattr("moshi_zoo.evaluation.serve_clients._BAD_EVERY_S", (0.1, 0.2))
    monkeypatch.setattr("moshi_zoo.evaluation.serve_clients._STALL_S", 0.2)
    run(test)


def test_every_misdeed_is_done():
    async def test():
        async with serving(Echoes(2)) as server:
            patches = {"_BAD_EVERY_S": (0.0, 0.05), "_STALL_S": 0.1, "_RETRY_S": 0.01}
            with pytest.MonkeyPatch.context() as patch:
                for name, value in patches.items():
                    patch.setattr(f"moshi_zoo.evaluation.serve_clients.{name}", value)
                until = time.perf_counter() + 2.5
                deeds = await misbehave("127.0.0.1", server.port, SPEECH, np.random.default_rng(1), until)
            assert set(deeds) == {"disconnect", "garbage", "oversize", "stall"}
            assert min(deeds.values()) > 0
            await eventually(lambda: not server._sessions)

    run(test)
