"""A server under load: a process of its own on loopback, and websocket clients that speak to it in real time."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from moshi_zoo.data import audio, manifest, synthetic
from moshi_zoo.evaluation.serve_clients import SAMPLE_RATE, Heard, converse, frames_held_back, misbehave
from moshi_zoo.runtime.compiled import Compile
from moshi_zoo.runtime.wire_audio import Samples

_LONE_S = 3.0
_SPEECH_S = 60.0
_START_S = 600.0
_MEMORY_EVERY_S = 1.0
QUANTILES = (0.5, 0.9, 0.99, 1.0)

Quantiles = dict[str, float]
"""Share of the measurements, as text, -> what they do not exceed."""


@dataclass(frozen=True)
class ServeReport:
    """What was measured.

    Args:
        setting: what the user chose.
        load_before: processes that wanted to compute on this machine before the server started.
        reply_ms: from sending a frame to its reply, at the good clients.
        lone_reply_ms: likewise, of one client alone before the others came.
        frame_ms: from a whole frame to its reply, in the server; of its latest 4096.
        step_ms: of the model, likewise.
        frames: that good clients sent.
        late: replies that took the server longer than a frame lasts, of all clients, in percent.
        dropped: frames of all clients that the server dropped: heard, spoken.
        ended: why the server ended conversations, and how often.
        misdeeds: what bad clients did, and how often.
        failures: of good clients: what the server told them.
        failed_steps: of the model.
        left_over: conversations that the server still had after all clients had gone.
        cpu: seconds of the server per second of the load.
        memory_mib: of the server: at the start, in the middle and at the end of the load.
    """

    setting: dict[str, str | float]
    load_before: float
    reply_ms: Quantiles
    lone_reply_ms: Quantiles
    frame_ms: Quantiles
    step_ms: Quantiles
    frames: int
    late: float
    dropped: dict[str, int]
    ended: dict[str, int]
    misdeeds: dict[str, int]
    failures: dict[str, int]
    failed_steps: int
    left_over: int
    cpu: float
    memory_mib: list[float]

    def as_json(self) -> str:
        """The report as JSON text."""
        return json.dumps(asdict(self), indent=2)


def bench_serve(
    model: str,
    *,
    codec: str | None,
    sessions: int,
    minutes: float,
    bad: int,
    speech: Path | None,
    device: str,
    compile: Compile = "auto",
    threads: int | None = None,
    tell: Callable[[str], None],
) -> ServeReport:
    """Start a server and talk to it.

    Args:
        model: name of a Moshi.
        codec: name of its codec; None: the one it was trained with.
        sessions: at once.
        minutes: of the load.
        bad: how many of the sessions misbehave.
        speech: a folder or a manifest of recordings; None: synthetic speech.
        device: where the server computes.
        compile: whether its steps are compiled.
        threads: of the CPU for a step; None: as many as pay.
        tell: gets what happens.

    Raises:
        ValueError: if the server does not start, or says nothing.
    """
    said, busy = _speech(speech), os.getloadavg()[0]
    options: dict[str, object] = {"--max-sessions": sessions, "--device": device, "--compile": compile}
    options |= {"--codec": codec} if codec else {}
    options |= {"--threads": threads} if threads else {}
    with _server(model, options, tell) as server:
        tell("one client alone ...")
        held_back = asyncio.run(frames_held_back(server.websocket, said))
        lone = asyncio.run(converse(server.websocket, said, seconds=_LONE_S, form="pcm", held_back=held_back))
        tell(f"{sessions - bad} clients that talk, {bad} that misbehave, for {minutes:g} minutes ...")
        before, cpu = server.metrics(), server.cpu_s()
        load = asyncio.run(_load(server, said, sessions - bad, bad, minutes * 60, held_back))
        cpu = (server.cpu_s() - cpu) / (minutes * 60)
        after = _after_the_last(server)
    heard, deeds, memory = load
    frames = after["frame_seconds_count"] - before["frame_seconds_count"]
    return ServeReport(
        setting={
            "model": model,
            "sessions": sessions,
            "bad": bad,
            "minutes": minutes,
            "device": device,
            "compile": compile,
            "threads": threads or "auto",
        },
        load_before=busy,
        reply_ms=_quantiles([delay for one in heard for delay in one.delays_s]),
        lone_reply_ms=_quantiles(lone.delays_s),
        frame_ms=_of_summary(after, "frame_seconds"),
        step_ms=_of_summary(after, "step_seconds"),
        frames=sum(one.sent for one in heard),
        late=100 * (after["late_frames_total"] - before["late_frames_total"]) / max(frames, 1),
        dropped={side: int(after[f'dropped_frames_total{{side="{side}"}}']) for side in ("heard", "spoken")},
        ended={reason: int(count) for reason, count in _labelled(after, "ended_total")},
        misdeeds=deeds,
        failures=dict(Counter(one.error for one in heard if one.error)),
        failed_steps=int(after["failed_steps_total"]),
        left_over=int(after["sessions"]),
        cpu=cpu,
        memory_mib=[memory[0], memory[len(memory) // 2], memory[-1]],
    )


@dataclass(frozen=True)
class _Server:
    """The process of a server."""

    process: subprocess.Popen[str]
    host: str
    port: int

    @property
    def websocket(self) -> str:
        return f"ws://{self.host}:{self.port}/api/chat"

    def metrics(self) -> dict[str, float]:
        """All values by their names, without the prefix."""
        with urllib.request.urlopen(f"http://{self.host}:{self.port}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.removeprefix("moshi_zoo_").rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def memory_mib(self) -> float:
        """What it holds now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 2**10

    def cpu_s(self) -> float:
        """That it has computed for."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100  # the kernel's ticks


@contextmanager
def _server(model: str, options: Mapping[str, object], tell: Callable[[str], None]) -> Iterator[_Server]:
    words = [str(word) for pair in {"--model": model, "--port": 0, **options}.items() for word in pair]
    process = subprocess.Popen(
        [sys.executable, "-m", "moshi_zoo", "serve", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        tell(f"a server of {model} ...")
        assert process.stdout is not None
        found = next((f for line in process.stdout if (f := re.search(r"http://([\d.]+):(\d+)/", line))), None)
        if found is None:
            raise ValueError(f"the server does not start: try `python -m moshi_zoo serve {' '.join(words)}`")
        yield _Server(process, found[1], int(found[2]))
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


async def _load(
    server: _Server, speech: Samples, good: int, bad: int, seconds: float, held_back: int
) -> tuple[list[Heard], dict[str, int], list[float]]:
    until, memory = time.perf_counter() + seconds, list[float]()

    async def watch() -> None:
        while True:
            memory.append(server.memory_mib())
            await asyncio.sleep(_MEMORY_EVERY_S)

    async def talk(number: int) -> Heard:
        await asyncio.sleep(number * 0.037)  # people do not start to talk at the same time
        turned = np.roll(speech, number * 7 * SAMPLE_RATE)
        form = "opus" if number % 2 else "pcm"
        return await converse(server.websocket, turned, seconds=seconds, form=form, held_back=held_back)

    watching = asyncio.create_task(watch())
    talking = [asyncio.create_task(talk(number)) for number in range(good)]
    spoiling = [
        asyncio.create_task(misbehave(server.host, server.port, speech, np.random.default_rng(number), until))
        for number in range(bad)
    ]
    heard, deeds = await asyncio.gather(*talking), await asyncio.gather(*spoiling)
    watching.cancel()
    return heard, dict(sum(map(Counter, deeds), Counter())), memory


def _after_the_last(server: _Server) -> dict[str, float]:
    """The metrics once all conversations have ended, or after ten seconds."""
    until = time.perf_counter() + 10
    while (metrics := server.metrics())["sessions"] and time.perf_counter() < until:
        time.sleep(0.2)
    return metrics


def _speech(source: Path | None) -> Samples:
    """A minute of it, [S]."""
    found = manifest.find(synthetic.prepare(minutes=2.0) if source is None else source)
    pieces, length = list[Samples](), 0
    for recording in found:
        wav = audio.load(recording.path, SAMPLE_RATE, channels=1)[0].numpy()
        pieces.append(wav)
        length += len(wav)
        if length > _SPEECH_S * SAMPLE_RATE:
            break
    return np.concatenate(pieces)


def _quantiles(seconds: list[float]) -> Quantiles:
    if not seconds:
        return {}
    values = np.quantile(seconds, QUANTILES) * 1e3
    return {f"{share:g}": float(value) for share, value in zip(QUANTILES, values, strict=True)}


def _of_summary(metrics: dict[str, float], name: str) -> Quantiles:
    return {share: value * 1e3 for share, value in _labelled(metrics, name)}


def _labelled(metrics: dict[str, float], name: str) -> Iterator[tuple[str, float]]:
    """Label -> value of a metric with one label."""
    for key, value in metrics.items():
        if match := re.fullmatch(name + r'\{\w+="(.*)"\}', key):
            yield match[1], value
