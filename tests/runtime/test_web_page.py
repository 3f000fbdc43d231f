"""The web page, in a real browser."""

import asyncio
import itertools
import operator
import re

import numpy as np
import pytest
import soundfile

from moshi_zoo import registry
from moshi_zoo.runtime.conversations import Conversations
from moshi_zoo.tokenizer import Tokenizer
from tests.runtime.chromium import Chromium, find_chromium
from tests.runtime.echo_server import EchoServer
from tests.runtime.echoes import serving

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="no chromium: `apt-get install chromium`"),
]

RATE = 24_000
FRAME = 1920
TONES = (500, 900, 1300, 2100)  # Hz, 0.4 s each
DEVICE_RATE = 48_000  # of the browser's fake microphone: it clicks when it must resample
ONLY_48_KHZ = """
const create = AudioContext.prototype.createMediaStreamSource;
AudioContext.prototype.createMediaStreamSource = function (stream) {
  if (this.sampleRate === 24000) throw new DOMException("another rate", "NotSupportedError");
  return create.call(this, stream);
};"""


@pytest.fixture(scope="module")
def loop():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def browser(loop, tmp_path_factory):
    """A browser whose microphone hears the tones, one after the other, again and again."""
    time = np.arange(int(0.4 * DEVICE_RATE)) / DEVICE_RATE
    tones = np.concatenate([0.5 * np.sin(2 * np.pi * tone * time) for tone in TONES])
    path = tmp_path_factory.mktemp("microphone") / "tones.wav"
    soundfile.write(path, tones, DEVICE_RATE)
    running = Chromium.run(path)
    yield loop.run(running.__aenter__())
    loop.run(running.__aexit__(None, None, None))


def tones_in(wav):
    """The tones one hears and for how long, as (Hz, seconds); what is shorter than 50 ms or silent is left out."""
    frames = wav[: len(wav) // 240 * 240].reshape(-1, 240)  # 10 ms
    spectra = np.abs(np.fft.rfft(frames * np.hanning(240)))  # 100 Hz from bin to bin
    loudest = [100 * int(spectrum.argmax()) if spectrum.max() > 2 else 0 for spectrum in spectra]
    runs = [(tone, 0.01 * len(list(run))) for tone, run in itertools.groupby(loudest)]
    runs = [(tone, seconds) for tone, seconds in runs if tone and seconds > 0.05]
    return [(tone, sum(s for _, s in run)) for tone, run in itertools.groupby(runs, key=operator.itemgetter(0))]


def check_tones(wav):
    """The tones come one after the other, 0.4 s each; a busy machine may make a few of them shorter or longer."""
    heard = tones_in(wav)
    assert len(heard) >= 4, heard
    first = TONES.index(heard[0][0])
    assert [tone for tone, _ in heard] == [TONES[(first + i) % len(TONES)] for i in range(len(heard))]
    assert np.median([abs(seconds - 0.4) for _, seconds in heard[1:-1]]) < 0.03, heard


def check_echo(moshi):
    """What the server sent back, half as loud, with silence before it."""
    assert not moshi[:480].any()
    assert {tone for tone, _ in tones_in(moshi)} == set(TONES)
    assert np.percentile(np.abs(moshi), 99) == pytest.approx(0.25, abs=0.01)


async def spoken(page):
    """The monologue without its times."""
    return await page.evaluate("[...document.querySelectorAll('#monologue span')].map((s) => s.innerText).join(' ')")


async def drawn(page, canvas):
    """How many pixels of a canvas are opaque."""
    return await page.evaluate(f"""(() => {{
        const canvas = document.querySelector({canvas!r});
        const {{ data }} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return data.filter((value, i) => i % 4 === 3 && value > 250).length;
    }})()""")


async def talked(page, seconds):
    """Waits until a conversation has lasted so long."""
    await page.until(f"Number(document.querySelector('#clock').innerText.split(':')[1]) >= {seconds}")


async def complete(path):
    """Waits until a download is there; the browser renames it when it is whole."""
    async with asyncio.timeout(20):
        while not path.exists():
            await asyncio.sleep(0.05)


def test_a_conversation_is_heard_shown_and_kept(loop, browser, tmp_path):
    async def converse():
        server = EchoServer()
        async with server.run() as url, browser.open(url) as page:
            await page.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
            await page.until("document.querySelector('#server').dataset.state === 'ready'")
            assert await page.text("#server") == "echo"
            await page.evaluate("document.querySelector('[name=clean]').click()")  # tones would count as noise
            assert await page.evaluate("[...document.querySelectorAll('input')].every((input) => input.labels.length)")
            await page.evaluate("document.querySelector('[name=seed]').value = 7")
            await page.press(" ")
            server.health["sessions"] = 1  # this one
            await talked(page, 4)
            assert await page.text("#server") == "echo"  # not that it is full
            assert await page.text("#stage") == "Talking"
            assert await page.text("#talk") == "Stop"
            assert await spoken(page) == "Hello, who is there?"
            announced = await page.text("#announcer")
            assert announced  # the last phrase, which is all on a machine with time
            assert "Hello, who is there?".endswith(announced)
            assert (await page.text("#latency")).endswith(" ms")
            for canvas in ("#you", "#moshi"):
                assert await drawn(page, canvas) > 2000, canvas
            await page.evaluate("document.querySelector('#talk').focus()")  # a button knows the space bar itself
            await page.press(" ")
            await page.until("!document.querySelector('#keep').hidden")
            server.health["sessions"] = 0
            assert (await page.text("#stage")).startswith("Stopped after 0:")
            for link, name in (("#keep-sound", "moshi.wav"), ("#keep-text", "moshi.txt")):
                await page.evaluate(f"document.querySelector({link!r}).click()")
                await complete(tmp_path / name)
            assert not page.errors
        return server

    server = loop.run(converse())
    assert server.query["format"] == "pcm"
    assert server.query["text_temperature"] == "0.7"
    assert server.query["text_seed"] == server.query["audio_seed"] == "7"
    check_tones(server.heard / 32768)
    assert " ".join(re.sub(r"\d:\d\d  ", "", (tmp_path / "moshi.txt").read_text()).split()) == "Hello, who is there?"
    wav, rate = soundfile.read(tmp_path / "moshi.wav")
    assert (rate, wav.shape[1]) == (RATE, 2)
    moshi, you = wav.T
    assert np.array_equal(you, server.heard[: len(you)] / 32768)
    check_echo(moshi)


SHOWN = "[...document.querySelectorAll('#monologue p')].map((p) => [p.className, p.lastChild.innerText])"
SIDES = """['moshi', 'you'].map((who) => {
  const text = document.createRange();
  text.selectNodeContents(document.querySelector(`#monologue .${who} span`));
  const { left, right } = text.getBoundingClientRect();
  const box = document.querySelector('#monologue').getBoundingClientRect();
  return (left + right) / 2 - (box.left + box.right) / 2;
})"""


def test_what_is_heard_is_shown_on_the_users_side_and_kept(loop, browser, tmp_path):
    async def converse():
        server = EchoServer()
        server.hears = True
        async with server.run() as url, browser.open(url) as page:
            await page.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
            await page.press(" ")
            await talked(page, 3)
            assert server.query["heard"] == "1"
            said, heard = ["moshi", "Hello, who is there?!!!!"], ["you", "what is this?"]
            assert await page.evaluate(SHOWN) == [said, heard]
            moshi, you = await page.evaluate(SIDES)
            assert moshi < 0 < you
            assert "what" not in await page.text("#announcer")  # you know what you say
            names = await page.evaluate("[...document.querySelectorAll('#monologue b')].map((b) => b.textContent)")
            assert names == ["Moshi:", "You, as Moshi hears you:"]  # for a screen reader
            await page.press(" ")
            await page.until("!document.querySelector('#keep').hidden")
            await page.evaluate("document.querySelector('#keep-text').click()")
            await complete(tmp_path / "moshi.txt")
            assert not page.errors

    loop.run(converse())
    lines = [line.split("  ")[1] for line in (tmp_path / "moshi.txt").read_text().splitlines()]
    assert lines == ["Moshi: Hello, who is there?!!!!", "You: what is this?"]


def test_a_microphone_of_another_rate_is_resampled(loop, browser):
    async def converse():
        server = EchoServer()
        async with server.run() as url, browser.open(url) as page:
            await page.evaluate(ONLY_48_KHZ)
            await page.evaluate("document.querySelector('[name=clean]').click()")
            await page.press(" ")
            await talked(page, 2)
            await page.press(" ")
            assert not page.errors
        return server.heard / 32768

    check_tones(loop.run(converse()))


async def problem_after_talk(page):
    """What the page says is wrong, once it has said something and is still."""
    await page.evaluate("document.querySelector('#talk').click()")
    await page.until(
        "document.querySelector('#talk').innerText === 'Talk' && document.querySelector('#problem').innerText"
    )
    return await page.text("#problem")


def refuse_microphone(name):
    return f"navigator.mediaDevices.getUserMedia = async () => {{ throw new DOMException('', '{name}') }}; 0"


def test_what_is_wrong_is_said_in_words(loop, browser):
    async def converse():
        server = EchoServer()
        async with server.run() as url, browser.open(url) as page:
            server.lasts = 5
            assert await problem_after_talk(page) == "The connection to the server was lost."
            assert not await page.evaluate("document.querySelector('#keep').hidden")  # what was said is not
            server.refusal = "this is the wrong day"
            assert await problem_after_talk(page) == "The server says: this is the wrong day."
            server.health["sessions"] = 1
            assert "server is full: its one conversation is taken" in await problem_after_talk(page)
            await page.until("document.querySelector('#server').innerText.includes('full')")
            server.health.update(status="loading", sessions=0)
            assert "still loading its model" in await problem_after_talk(page)
            server.health.update(status="ok")
            await page.evaluate(refuse_microphone("NotFoundError"))
            assert "No microphone found" in await problem_after_talk(page)
            await page.evaluate(refuse_microphone("NotAllowedError"))
            assert "The microphone is not allowed here" in await problem_after_talk(page)
            assert not page.errors  # the next makes one: the browser reports the 401
            server.token = "secret"
            assert "wants a token" in await problem_after_talk(page)
        async with server.run() as url, browser.open(url.replace("127.0.0.1", "elsewhere.test")) as page:
            assert "the connection is not secure" in await page.text("#problem")

    loop.run(converse())


BUFFER = """
(async () => {
  const { JitterBuffer } = await import("./jitter-buffer.js");
  const buffer = new JitterBuffer(24000);
  const silent = (count) => buffer.pull(count).filter((sample) => sample === 0).length;
  const frame = () => new Float32Array(1920).fill(1);
  buffer.push(frame());
  const first = [silent(960), silent(1920), silent(480)];
  buffer.push(frame());
  const second = [silent(1440), silent(1920)];
  const gap = buffer.missed;
  for (let i = 0; i < 10; i++) buffer.push(frame());
  return { first, second, gap, left: buffer.queue.length, skipped: buffer.missed - gap };
})()"""
LATENCY = """
(async () => {
  const { Latency } = await import("./latency.js");
  const latency = new Latency();
  for (const now of [0, 80, 160]) latency.sent(now);
  latency.dropped(2);
  latency.dropped(2); // of all, not more
  latency.received(210);
  return latency.median;
})()"""


def test_what_comes_late_is_waited_for_and_what_piles_up_is_skipped(loop, browser):
    async def ask():
        async with EchoServer().run() as url, browser.open(url) as page:
            return await page.evaluate(BUFFER), await page.evaluate(LATENCY)

    buffer, latency = loop.run(ask())
    assert buffer["first"] == [960, 0, 480]  # 40 ms, the sound, and nothing more to say
    assert buffer["second"] == [1440, 0]  # a longer margin
    assert buffer["gap"] == 480 + 1440
    assert buffer["left"] == 1440 + FRAME
    assert buffer["left"] + buffer["skipped"] == 10 * FRAME
    assert latency == 50


def tiny_conversations():
    """With a model that has learnt nothing."""
    tokenizer = Tokenizer.train(["the quick brown fox jumps over a lazy dog"] * 3, vocab_size=292)
    moshi = registry.build("moshi-tiny", vocab_size=tokenizer.vocab_size).eval()
    return Conversations(moshi, registry.build("mimi-tiny").eval(), tokenizer)


def test_the_real_server_and_a_model_answer(loop, browser):
    async def converse():
        async with serving(tiny_conversations()) as server, browser.open(server.address) as page:
            await page.until("document.querySelector('#server').dataset.state === 'ready'")
            await page.press(" ")
            await page.until("document.querySelector('#monologue span') && latency.innerText.endsWith('ms')")
            assert await drawn(page, "#you") > 0
            async with browser.open(server.address) as other:
                assert "server is full" in await problem_after_talk(other)
            await page.press(" ")
            assert await spoken(page)
            assert not page.errors

    loop.run(converse())


def test_the_settings_begin_as_the_model_says_and_are_the_users_to_change(loop, browser):
    async def converse():
        server = EchoServer()
        server.models["sampling"] = {"text_temperature": 0.3, "audio_temperature": 0.5}
        async with server.run() as url, browser.open(url) as page:
            await page.until("document.querySelector('#server').dataset.state === 'ready'")
            shown = "[...document.querySelectorAll('#settings output')].map((output) => output.value)"
            assert await page.evaluate(shown) == ["0.30", "0.50", "0.00"]
            await page.evaluate("document.querySelector('#text-temperature').value = 0.9")
            await page.press(" ")
            await talked(page, 1)
            await page.press(" ")
            assert not page.errors
        return server

    query = loop.run(converse()).query
    assert (query["text_temperature"], query["audio_temperature"]) == ("0.9", "0.5")
