"""Side-by-side measurements: medians of interleaved runs, so that a busy machine slows all alike.

Times are taken in one process, turn by turn. Memory is the peak of a process of its own, over what its imports hold.
"""

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import nn

from moshi_zoo import registry
from moshi_zoo.modules.columns import store_by_columns

OURS = "moshi_zoo"
COMPILED = f"{OURS}, compiled"

Step = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One measurement.

    Args:
        what: with its unit.
        who: package.
        value: the median.
        ratio: over the best peer's. Only in our rows.
    """

    what: str
    who: str
    value: float
    ratio: float | None = None


@dataclass(frozen=True)
class Report:
    """All rows, and what they were measured on.

    Args:
        device: name of the GPU, or ``cpu``.
        threads: of the CPU.
        setting: what the user chose.
        versions: of the packages.
        missing: peers that are not installed.
        rows: the figures.
    """

    device: str
    threads: int
    setting: Mapping[str, str | float]
    versions: Mapping[str, str]
    missing: list[str]
    rows: list[Row]

    def as_json(self) -> str:
        """The report as JSON text."""
        return json.dumps(asdict(self), indent=2)


@dataclass(frozen=True)
class Timing:
    """Times of one thing, in milliseconds.

    Args:
        median: half of the runs were faster.
        best: the fastest run.
        late: 99 of 100 runs were faster.
        runs: how many.
    """

    median: float
    best: float
    late: float
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
    return {name: Timing(statistics.median(t), min(t), _percentile(t, 0.99), runs) for name, t in times.items()}


def _percentile(times: list[float], share: float) -> float:
    return sorted(times)[min(int(share * len(times)), len(times) - 1)]


def random_model(size: str, device: str, *, dtype: torch.dtype | None = None) -> nn.Module:
    """A preset with random weights, for inference: one copy of them at any time, as streams want them to lie.

    Args:
        size: name of the preset.
        device: where to compute.
        dtype: of the weights.
    """
    with torch.device("meta"):
        model: nn.Module = registry.build(size).eval().to(dtype)
        if device == "cpu":
            store_by_columns(model)
    model.to_empty(device=device)
    torch.manual_seed(0)
    for part in model.modules():
        reset = getattr(part, "reset_parameters", None)
        if callable(reset):
            reset()
    return model


def rows(what: str, values: Mapping[str, float], *, best: Callable[[Iterable[float]], float]) -> list[Row]:
    """A row for each package.

    Args:
        what: was measured, with its unit.
        values: by package; several may be ours, such as ``moshi_zoo, int8``.
        best: ``min`` where less is better, else ``max``.
    """
    ours = {name: value for name, value in values.items() if name.partition(",")[0] == OURS}
    peers = [value for name, value in values.items() if name not in ours]
    return [
        Row(what, name, value, value / best(peers) if peers and name in ours else None)
        for name, value in values.items()
    ]


def report(
    rows: list[Row],
    *,
    device: str,
    setting: Mapping[str, str | float],
    present: Iterable[str],
    peers: Iterable[str],
) -> Report:
    """Put the rows together with what they were measured on.

    Args:
        rows: the figures.
        device: ``cpu`` or ``cuda``.
        setting: what the user chose.
        present: peers that took part.
        peers: all peers.
    """
    present = list(present)
    return Report(
        device=torch.cuda.get_device_name() if device.startswith("cuda") else "cpu",
        threads=torch.get_num_threads(),
        setting=setting,
        versions={name: _version(name) for name in ("torch", OURS, *present)},
        missing=[name for name in peers if name not in present],
        rows=rows,
    )


def is_installed(module: str) -> bool:
    """Whether a package can be imported; it is not."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def measured_in_a_process(module: str, *words: object) -> float:
    """Run ``python -m module words... threads`` and return the number in its last line; with large pages, as fit has.

    Raises:
        RuntimeError: if it fails.
    """
    command = [sys.executable, "-m", module, *map(str, words), str(torch.get_num_threads())]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"THP_MEM_ALLOC_ENABLE": "1", **os.environ}
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} failed:\n{done.stderr}")
    return float(json.loads(done.stdout.splitlines()[-1]))


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


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
