"""Mimi's speed and memory at full size, beside PyPI ``moshi`` and ``transformers``: same weights, same run."""

import importlib
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from moshi_zoo import registry
from moshi_zoo.evaluation.bench import (
    OURS,
    Report,
    Row,
    Step,
    Timing,
    is_installed,
    measured_in_a_process,
    peak_memory,
    report,
    resident_memory,
    rows,
    time_side_by_side,
)
from moshi_zoo.models.mimi import Mimi
from moshi_zoo.zoo import mimi_format

PEERS = {"moshi": "moshi.models", "transformers": "transformers"}
PRESET = "mimi-full"
NUM_CODEBOOKS = 8


def bench_mimi(*, device: str, seconds: float, rounds: int, tell: Callable[[str], None]) -> Report:
    """Measure.

    Args:
        device: ``cpu`` or ``cuda``.
        seconds: length of the offline clip.
        rounds: measured rounds of streaming; offline takes a fifth of them.
        tell: is told what is going on.
    """
    present = [name for name, module in PEERS.items() if is_installed(module)]
    names = [OURS, *present]
    tell(f"building {PRESET} with random weights for {', '.join(names)}")
    codecs = _codecs(names, device)
    wait = torch.cuda.synchronize if device.startswith("cuda") else None
    found = []
    with torch.inference_mode(), ExitStack() as streams:
        tell("streaming: encode and decode a frame of 80 ms")
        steps = {name: step for name, codec in codecs.items() if (step := codec.streaming(streams, device))}
        times = time_side_by_side(steps, runs=rounds, warmup=3, synchronize=wait)
        found += _time_rows("streaming, ms per 80 ms frame", times)
    with torch.inference_mode():
        tell(f"offline: encode and decode {seconds:g} s")
        passes = {name: codec.offline(seconds, device) for name, codec in codecs.items()}
        times = time_side_by_side(passes, runs=max(rounds // 5, 3), warmup=1, synchronize=wait)
        found += _time_rows(f"offline, ms per {seconds:g} s", times)
    del codecs, steps, passes
    for mode in ("streaming", "offline"):
        tell(f"peak memory, {mode}: a process for each")
        peaks = {
            name: measured_in_a_process(__name__, name, mode, device, seconds)
            for name in names
            if (name, mode) != ("transformers", "streaming")
        }
        found += rows(f"peak memory {mode}, MiB", peaks, best=min)
    return report(found, device=device, setting={"seconds": seconds}, present=present, peers=PEERS)


class OurCodec:
    """Ours."""

    def __init__(self, model: Mimi):
        self.model = model

    def streaming(self, streams: ExitStack, device: str) -> Step:
        """One frame through both directions."""
        del streams  # nothing to close: the state is a local variable
        state, frame = self.model.init_state(1), _noise(1, device)
        return lambda: self.model.decode(
            self.model.encode(frame, NUM_CODEBOOKS, state=state.encoder), state=state.decoder
        )

    def offline(self, seconds: float, device: str) -> Step:
        """A clip through both directions."""
        wav = _noise(_frames(seconds), device)
        return lambda: self.model.decode(self.model.encode(wav, NUM_CODEBOOKS))


class MoshiCodec:
    """PyPI ``moshi``'s."""

    def __init__(self, model: Any):
        self.model = model

    def streaming(self, streams: ExitStack, device: str) -> Step:
        """One frame through both directions."""
        streams.enter_context(self.model.streaming(1))
        frame = _noise(1, device)
        return lambda: self.model.decode(self.model.encode(frame))

    def offline(self, seconds: float, device: str) -> Step:
        """A clip through both directions."""
        wav = _noise(_frames(seconds), device)
        return lambda: self.model.decode(self.model.encode(wav))


class TransformersCodec:
    """Hugging Face's; its decoder keeps no state between chunks, so it has no streaming row."""

    def __init__(self, model: Any):
        self.model = model

    def streaming(self, streams: ExitStack, device: str) -> None:
        """Not possible."""

    def offline(self, seconds: float, device: str) -> Step:
        """A clip through both directions."""
        wav = _noise(_frames(seconds), device)
        return lambda: self.model.decode(self.model.encode(wav, num_quantizers=NUM_CODEBOOKS).audio_codes)


def _codecs(names: list[str], device: str) -> dict[str, Any]:
    """The same random weights in all packages."""
    ours = random_codec(PRESET, device)
    made: dict[str, Any] = {OURS: OurCodec(ours)}
    if "moshi" in names:
        model = their_codec(device)
        model.load_state_dict(mimi_format.to_kyutai(ours.state_dict()))
        made["moshi"] = MoshiCodec(model)
    if "transformers" in names:
        model = _transformers(device)
        hf = mimi_format.to_hf(ours.state_dict(), num_heads=8)
        own = {name: mimi_format.hf_file_name(name) for name in model.state_dict()}
        model.load_state_dict({name: hf[file_name] for name, file_name in own.items()})
        made["transformers"] = TransformersCodec(model)
    return made


def random_codec(preset: str, device: str) -> Mimi:
    """Ours with random weights and codebooks, always the same."""
    torch.manual_seed(0)
    model = registry.build(preset).eval()
    for codebook in model.quantizer.codebooks:
        codebook.embedding_sum.normal_()
        codebook.initialized.fill_(1)
    return model.to(device)


def their_codec(device: str) -> Any:
    """That of the package, of the released size, with random weights."""
    loaders = importlib.import_module("moshi.models.loaders")
    return loaders.get_mimi(None, device=device, num_codebooks=NUM_CODEBOOKS)


def _transformers(device: str) -> Any:
    transformers = importlib.import_module("transformers")
    return transformers.MimiModel(transformers.MimiConfig()).eval().to(device)


def _measure_memory(name: str, mode: str, device: str, seconds: float) -> float:
    """MiB over what the process holds after its imports; only meaningful in a process of its own."""
    make, codec_of = {
        OURS: (lambda where: random_codec(PRESET, where), OurCodec),
        "moshi": (their_codec, MoshiCodec),
        "transformers": (_transformers, TransformersCodec),
    }[name]
    if name in PEERS:
        __import__(PEERS[name])
    registry.build("mimi-tiny")  # imports what building needs
    before = resident_memory(device)
    codec = codec_of(make(device))
    with torch.inference_mode(), ExitStack() as streams:
        step = codec.streaming(streams, device) if mode == "streaming" else codec.offline(seconds, device)
        assert step is not None
        for _ in range(5 if mode == "streaming" else 2):
            step()
    return peak_memory(device) - before


def _time_rows(what: str, times: Mapping[str, Timing]) -> list[Row]:
    return rows(what, {name: timing.median for name, timing in times.items()}, best=min)


def _noise(num_frames: int, device: str) -> Tensor:
    return torch.randn(1, 1, num_frames * 1920, generator=torch.Generator().manual_seed(0)).to(device) * 0.1


def _frames(seconds: float) -> int:
    return max(round(seconds * 12.5), 1)


if __name__ == "__main__":
    who, which, where, length, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    print(json.dumps(_measure_memory(who, which, where, float(length))))  # noqa: T201 (read by the parent process)
