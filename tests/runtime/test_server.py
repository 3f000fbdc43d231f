"""Real websocket clients on loopback talk to a server whose model is an echo."""

import asyncio
import json
import logging
import threading

import aiohttp
import numpy as np
import pytest
import sphn

from moshi_zoo.runtime.access import Access
from moshi_zoo.runtime.protocol import CloseCode, Control, Kind
from moshi_zoo.runtime.server import Server, Setup
from tests.runtime.echoes import FRAME, LOCAL, MODEL, Echoes, eventually, noise, run, serving, talking


async def get(server, path, **options):
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{server.port}{path}", **options) as answer:
        return answer.status, await answer.text()


async def refusal(server, query=""):
    async with talking(server, query) as client:
        return await client.goodbye()


def test_a_client_gets_a_reply_to_each_frame():
    async def test():
        async with serving(Echoes()) as server, talking(server, "&text_seed=40&text_topk=7&nonsense=x") as client:
            metadata = await client.greeting()
            for i in range(5):
                sound, text = await client.say(noise(i))
                np.testing.assert_array_equal(sound, noise(i) // 2)
                assert text == f" {40 + i}"
            assert {metadata[k] for k in ("model", "sample_rate", "frame_rate")} == {"runs/echo", 24000, 12.5}
            assert metadata["settings"]["text_top_k"] == 7
            assert metadata["limits"]["idle_s"] == 60

    run(test)


def test_what_the_user_says_is_sent_to_who_asks_for_it_and_to_nobody_else():
    async def test():
        for query, expected in (("&heard=1", ["\1 é".encode()] * 2), ("", []), ("&heard=0", [])):
            async with serving(Echoes(hears=True)) as server, talking(server, "&text_seed=40" + query) as client:
                await client.greeting()
                for i in range(4):
                    await client.send(Kind.AUDIO, noise(i).tobytes())
                messages = [await client.next() for _ in range(4 + 2 + len(expected))]
                assert [payload for kind, payload in messages if kind is Kind.HEARD] == expected
                assert [payload for kind, payload in messages if kind is Kind.TEXT] == [b" 40", b" 42"]

    run(test)


def test_audio_may_come_in_any_pieces():
    async def test():
        async with serving(Echoes()) as server, talking(server) as client:
            await client.greeting()
            data, heard = noise(0, size=3 * FRAME).tobytes(), []
            for start in range(0, len(data), 1111):  # odd: a message ends within a sample
                await client.send(Kind.AUDIO, data[start : start + 1111])
            while len(heard) < 3:
                kind, payload = await client.next()
                if kind is Kind.AUDIO:
                    heard.append(np.frombuffer(payload, "<i2"))
            np.testing.assert_array_equal(np.concatenate(heard), noise(0, size=3 * FRAME) // 2)

    run(test)


def test_ogg_opus_is_the_default_and_sounds_the_same():
    """The messages of `python -m moshi.client`: no waiting for the handshake, 80 ms of Opus in each."""

    async def test():
        writer, reader = sphn.OpusStreamWriter(24000), sphn.OpusStreamReader(24000)
        tone = (0.5 * np.sin(np.arange(40 * FRAME) * 2 * np.pi * 440 / 24000)).astype(np.float32)
        heard = [np.zeros(0, np.float32)]
        async with (
            serving(Echoes()) as server,
            aiohttp.ClientSession() as http,
            http.ws_connect(f"http://127.0.0.1:{server.port}/api/chat") as socket,
        ):
            for start in range(0, len(tone), FRAME):
                if opus := writer.append_pcm(tone[start : start + FRAME]):
                    await socket.send_bytes(b"\x01" + opus)
                await asyncio.sleep(0.03)
            while sum(map(len, heard)) < 38 * FRAME:
                message = await socket.receive(timeout=5)
                if message.data[0] == Kind.AUDIO:
                    heard.append(reader.append_bytes(message.data[1:]))
        loudness = np.concatenate(heard)[5 * FRAME : 35 * FRAME].std()
        assert loudness == pytest.approx(tone.std() / 2, rel=0.05)

    run(test)


def test_conversations_do_not_mix():
    async def test():
        async def one(server, seed):
            async with talking(server, f"&audio_seed={seed}") as client:
                await client.greeting()
                for i in range(8):
                    sound, text = await client.say(noise(seed + i))
                    np.testing.assert_array_equal(sound, noise(seed + i) // 2)
                    assert text == f" {seed + i}"

        echoes = Echoes(4, step_s=0.005)
        async with serving(echoes) as server:
            await asyncio.gather(*(one(server, 100 * k) for k in range(1, 5)))
        assert max(map(len, echoes.batches)) > 1, "frames that come together should share a step"
        assert not echoes.joined

    run(test)


def test_who_sends_nothing_is_paused_and_holds_nobody_up():
    async def test():
        echoes = Echoes()
        async with serving(echoes) as server, talking(server, "&text_seed=10") as one, talking(server) as other:
            await one.greeting()
            await other.greeting()
            assert (await one.say(noise(0)))[1] == " 10"
            for i in range(4):
                await other.say(noise(i))
            assert (await one.say(noise(1)))[1] == " 11"

    run(test)


def test_pause_start_and_restart():
    async def test():
        async with serving(Echoes()) as server, talking(server, "&text_seed=10") as client:
            await client.greeting()
            await client.say(noise(0))
            await client.send(Kind.CONTROL, bytes([Control.PAUSE]))
            await client.send(Kind.AUDIO, noise(1).tobytes())  # nobody hears it
            await client.send(Kind.CONTROL, bytes([Control.START]))
            await client.send(Kind.CONTROL, bytes([Control.END_TURN]))
            sound, text = await client.say(noise(2))
            assert (sound[0], text) == (noise(2)[0] // 2, " 11")
            await client.send(Kind.CONTROL, bytes([Control.RESTART]))
            assert (await client.say(noise(3)))[1] == " 10"

    run(test)


def test_a_ping_is_answered_and_silence_is_broken_by_pings():
    async def test():
        async with serving(Echoes(), quiet_s=0.1) as server, talking(server) as client:
            await client.greeting()
            for _ in range(2):
                assert (await client.socket.receive(timeout=3)).data == bytes([Kind.PING])
        async with serving(Echoes()) as server, talking(server) as client:
            await client.greeting()
            await client.send(Kind.PING)
            assert (await client.socket.receive(timeout=3)).data == bytes([Kind.PING])

    run(test)


def test_nothing_is_said_during_the_models_delay_but_text():
    async def test():
        async with serving(Echoes(delay=1)) as server, talking(server, "&text_seed=5") as client:
            await client.greeting()
            await client.send(Kind.AUDIO, noise(0).tobytes())
            assert await client.next() == (Kind.TEXT, b" 5")
            assert (await client.say(noise(1)))[1] == " 6"

    run(test)


def test_a_full_server_refuses_clearly_and_has_room_again_when_one_leaves():
    async def test():
        echoes = Echoes(1)
        async with serving(echoes) as server:
            async with talking(server) as client:
                await client.greeting()
                said, code = await refusal(server)
                assert code == CloseCode.TRY_AGAIN_LATER
                assert "full" in said
                assert (await get(server, "/api/chat"))[0] == 503
                assert json.loads((await get(server, "/api/health"))[1])["status"] == "full"
                await client.say(noise(0))
            await eventually(lambda: not echoes.joined)
            async with talking(server) as client:
                await client.greeting()
            assert server.metrics.refused == {"full": 2}

    run(test)


def test_while_the_model_loads_the_server_says_so():
    async def test():
        may_load = threading.Event()

        def load():
            may_load.wait(10)
            return Echoes()

        server = Server(load, MODEL, Setup(LOCAL, 0))
        starting = asyncio.create_task(server.start())
        try:
            await eventually(lambda: server._listener is not None)
            status, health = await get(server, "/api/health")
            assert (status, json.loads(health)["status"]) == (503, "loading")
            assert await refusal(server) == ("the model is still being loaded: try again in a moment", 1013)
            may_load.set()
            await starting
            assert (await get(server, "/api/health"))[0] == 200
        finally:
            may_load.set()
            await server.close()

    run(test)


def test_what_cannot_be_loaded_is_told_to_who_started_the_server():
    async def test():
        def load():
            raise ValueError("no such model")

        server = Server(load, MODEL, Setup(LOCAL, 0))
        try:
            with pytest.raises(ValueError, match="no such model"):
                await server.start()
        finally:
            await server.close()

    run(test)


def test_a_port_that_is_taken_is_told():
    async def test():
        async with serving(Echoes()) as server:
            second = Server(Echoes, MODEL, Setup(LOCAL, server.port))
            with pytest.raises(ValueError, match=f"port {server.port} .* is taken: choose another with --port"):
                await second.start()
            await second.close()

    run(test)


@pytest.mark.parametrize(
    ("limits", "reason", "words"),
    [
        ({"idle_s": 0.2}, "idle", "nothing was heard"),
        ({"session_s": 0.2}, "too long", "minutes at most"),
    ],
)
def test_idle_and_long_sessions_end_with_a_word(limits, reason, words):
    async def test():
        echoes = Echoes()
        async with serving(echoes, **limits) as server, talking(server) as client:
            await client.greeting()
            said, code = await client.goodbye()
            assert words in said
            assert code == CloseCode.OK
            assert server.metrics.ended == {reason: 1}
            await eventually(lambda: not echoes.joined)

    run(test)


def test_shutdown_tells_everybody():
    async def test():
        async with serving(Echoes()) as server, talking(server) as one, talking(server, "&text_seed=1") as other:
            await one.greeting()
            await other.greeting()
            closing = asyncio.create_task(server.close())
            for client in (one, other):
                assert await client.goodbye() == ("the server is shutting down", CloseCode.GOING_AWAY)
            await closing
            assert server.metrics.ended == {"shutdown": 2}

    run(test)


def test_a_step_that_fails_ends_the_conversations_in_it_and_the_server_lives_on(caplog):
    async def test():
        echoes = Echoes()
        async with serving(echoes) as server:
            async with talking(server) as one, talking(server) as waiting:
                await one.greeting()
                await waiting.greeting()
                echoes.broken = True
                await one.send(Kind.AUDIO, noise(0).tobytes())
                said, code = await one.goodbye()
                assert "something in the server went wrong" in said
                assert code == CloseCode.INTERNAL_ERROR
                echoes.broken = False
                await waiting.say(noise(1))
            assert server.metrics.failed_steps == 1
            assert "out of memory" in caplog.text

    run(test)


def test_sessions_are_logged_as_json_lines(caplog):
    async def test():
        async with serving(Echoes()) as server:
            async with talking(server, "&text_seed=3") as client:
                await client.greeting()
                await client.say(noise(0))
            await eventually(lambda: bool(server.metrics.ended))

    with caplog.at_level(logging.INFO, logger="moshi_zoo.serve"):
        run(test)
    first, last = map(json.loads, caplog.messages)
    assert {first[k] for k in ("event", "peer", "seed")} == {"session started", "127.0.0.1", 3}
    assert (last["event"], last["reason"], last["heard"], last["spoken"]) == ("session ended", "left", 1, 1)


def test_metrics_are_prometheus_text():
    async def test():
        async with serving(Echoes()) as server, talking(server) as client:
            await client.greeting()
            await client.say(noise(0))
            status, text = await get(server, "/metrics")
            lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
            assert status == 200
            assert lines["moshi_zoo_sessions"] == "1"
            assert lines["moshi_zoo_step_seconds_count"] == "1"
            assert 0 <= float(lines['moshi_zoo_step_seconds{quantile="0.99"}']) < 5

    run(test)


def test_models_are_listed():
    async def test():
        async with serving(Echoes()) as server:
            told = json.loads((await get(server, "/api/models"))[1])
            assert told["model"] == "runs/echo"
            assert told["sampling"] == {"text_temperature": 0.3, "audio_temperature": 0.5}
            async with talking(server, "&text_temperature=0.9") as client:
                settings = (await client.greeting())["settings"]
            assert (settings["text_temperature"], settings["audio_temperature"]) == (0.9, 0.5)

    run(test)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("&text_temperature=hot", "text_temperature is 'hot'"),
        ("&audio_topk=2.5", "whole number"),
        ("&format=mp3", "opus or pcm"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused_with_the_reason(query, words):
    async def test():
        async with serving(Echoes()) as server:
            url = f"http://127.0.0.1:{server.port}/api/chat?{query}"
            async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
                assert words in (await socket.receive(timeout=3)).data[1:].decode()
                await socket.receive(timeout=3)
                assert socket.close_code == CloseCode.POLICY

    run(test)


TOKEN = "correct-horse-battery"


def test_a_server_with_a_token_lets_in_who_knows_it():
    async def test():
        async with serving(Echoes(), access=Access("127.0.0.1", TOKEN)) as server:
            assert server.address == f"http://127.0.0.1:{server.port}/?token={TOKEN}"
            for path in ("/api/chat", "/api/models", "/metrics"):
                assert (await get(server, path))[0] == 401
            assert (await get(server, "/metrics", headers={"Authorization": f"Bearer {TOKEN}"}))[0] == 200
            assert (await get(server, "/api/health"))[0] == 200
            with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
                await refusal(server, "&token=wrong")
            async with talking(server, f"&token={TOKEN}") as client:
                await client.greeting()
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer \xff\r\n\r\n")
            assert (await reader.readline()).split()[1] in (b"400", b"401")
            writer.close()

    run(test)


def test_pages_from_elsewhere_get_no_conversation():
    async def test():
        async with serving(Echoes()) as server:
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                async with talking(server, headers={"Origin": "https://evil.org"}):
                    pass
            async with talking(server, headers={"Origin": f"http://127.0.0.1:{server.port}"}) as client:
                await client.greeting()

    run(test)


def test_the_page_is_served():
    async def test():
        async with serving(Echoes()) as server:
            status, text = await get(server, "/")
            assert status == 200
            assert "<html" in text

    run(test)
