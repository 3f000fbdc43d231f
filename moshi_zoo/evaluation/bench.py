"""Side-by-side measurements: medians of interleaved runs, so that a busy machine slows all alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Timing:
    """Times of one thing, in milliseconds.

    Args:
        median: half of the runs were faster.
        best: the fastest run.
        runs: how many.
    """

    median: float
    best: float
    runs: int


def time_side_by_side(
    candidates: Mapping[str, Callable[[], object]],
    *,
    runs: int,
    warmup: int = 2,
    synchronize: Callable[[], None] | None = None,
) -> dict[str, Timing]:
    """Run the candidates in turn, round after round.

    Args:
        candidates: what to call, by name.
        runs: measured rounds.
        warmup: rounds before them.
        synchronize: waits for the device, before and after each call.
    """
    wait = synchronize or (lambda: None)
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(warmup + runs):
        for name, run in candidates.items():
            wait()
            start = time.perf_counter()
            run()
            wait()
            if turn >= warmup:
                times[name].append((time.perf_counter() - start) * 1e3)
    return {name: Timing(statistics.median(t), min(t), runs) for name, t in times.items()}


def resident_memory(device: str) -> float:
    """What this process holds now, in MiB: on the GPU if the device is one."""
    return torch.cuda.memory_allocated() / 2**20 if device.startswith("cuda") else _status("VmRSS")


def peak_memory(device: str) -> float:
    """The most this process ever held, in MiB."""
    # Not getrusage: its maximum survives exec, so a child would report its parent's.
    return torch.cuda.max_memory_allocated() / 2**20 if device.startswith("cuda") else _status("VmHWM")


def _status(field: str) -> float:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0]) / 2**10
