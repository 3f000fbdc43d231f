"""The verb ``bench``: speed and memory of models beside their peers, and a server under load."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from moshi_zoo.cli.bench_serve import serve

if TYPE_CHECKING:
    from moshi_zoo.evaluation.bench import Report


def mimi(
    *,
    training: Path | None = None,
    device: str = "cpu",
    threads: int | None = None,
    seconds: float = 10.0,
    rounds: int = 30,
    out: Path | None = None,
) -> None:
    """Measure the codec with random weights, side by side with PyPI moshi and transformers.

    Args:
        training: a recipe, whose training steps are measured instead, alone: nobody else has any.
        device: cpu or cuda.
        threads: of the CPU; all cores by default.
        seconds: length of the clip that is encoded and decoded at once.
        rounds: measured rounds; medians are shown.
        out: a JSON file to write the figures to.
    """
    from moshi_zoo.evaluation.bench_mimi import bench_mimi

    _prepare(device, threads, rounds=rounds, seconds=seconds)
    if training is None:
        _show("mimi", bench_mimi(device=device, seconds=seconds, rounds=rounds, tell=_tell), out)
        return

    from rich.console import Console

    from moshi_zoo.cli.bench_training import bench_training, table_of

    speed, console = bench_training(training, device=device, rounds=rounds), Console()
    console.print(table_of(speed))
    console.print(f"{speed.seconds_per_step * 1e3:.0f} ms a step, {speed.audio_per_second:.1f} s of audio a second")
    _write(speed.as_json(), out)


def helium(
    *,
    device: str = "cpu",
    threads: int | None = None,
    size: str = "helium-base",
    compile: Literal["always", "never"] = "never",
    rounds: int = 30,
    out: Path | None = None,
) -> None:
    """Measure the language model with random weights, side by side with transformers.

    Args:
        device: cpu or cuda.
        threads: of the CPU; all cores by default.
        size: the preset to build; those that end in nano are over in a minute.
        compile: measure compiled code, too, on a CPU.
        rounds: measured rounds; medians are shown.
        out: a JSON file to write the figures to.
    """
    from moshi_zoo.evaluation.bench_helium import bench_helium
    from moshi_zoo.models.helium import Helium

    _prepare(device, threads, rounds=rounds)
    _check_size(size, Helium)
    _show("helium", bench_helium(size=size, device=device, rounds=rounds, compile=compile, tell=_tell), out)


def moshi(
    *,
    device: str = "cpu",
    threads: int | None = None,
    size: str = "moshi-base",
    seconds: float = 60.0,
    rounds: int = 30,
    out: Path | None = None,
) -> None:
    """Measure the speech language model with random weights, side by side with PyPI moshi.

    Args:
        device: cpu or cuda.
        threads: of the CPU; all cores by default.
        size: the preset to build; those that end in nano are over in a minute.
        seconds: length of each of the two clips that a training step takes.
        rounds: measured rounds; medians are shown.
        out: a JSON file to write the figures to.
    """
    from moshi_zoo.evaluation.bench_moshi import bench_moshi
    from moshi_zoo.models.moshi import Moshi

    _prepare(device, threads, rounds=rounds, seconds=seconds)
    _check_size(size, Moshi)
    _show("moshi", bench_moshi(size=size, device=device, seconds=seconds, rounds=rounds, tell=_tell), out)


def runtime(
    *,
    device: str = "cpu",
    threads: int | None = None,
    size: str = "",
    sessions: list[int] | None = None,
    compile: Literal["always", "never"] = "never",
    rounds: int = 10,
    out: Path | None = None,
) -> None:
    """Measure the steps of conversations in real time with random weights, side by side with PyPI moshi.

    Args:
        device: cpu (float32, and weights of sixteen, eight and four bits) or cuda (bfloat16).
        threads: of the CPU; all cores by default.
        size: the preset to build, with the codec of its size; moshi-base by default, moshi-7b on a GPU.
        sessions: how many conversations to have at once; by default 1 and 8, on a GPU 1, 16, 32 and 64.
        compile: measure compiled steps, too, on a CPU.
        rounds: measured rounds of 25 frames; medians are shown.
        out: a JSON file to write the figures to.
    """
    from moshi_zoo.evaluation.bench_runtime import bench_runtime
    from moshi_zoo.models.moshi import Moshi

    on_gpu = device.startswith("cuda")
    size = size or ("moshi-7b" if on_gpu else "moshi-base")
    sessions = sessions or ([1, 16, 32, 64] if on_gpu else [1, 8])
    _prepare(device, threads, rounds=rounds)
    _check_size(size, Moshi)
    if min(sessions) < 1:
        raise ValueError(f"sessions ({sessions}) must be 1 or more each")
    found = bench_runtime(size=size, device=device, rounds=rounds, sessions=sessions, compile=compile, tell=_tell)
    _show("runtime", found, out)


BENCHES: dict[str, Callable[..., None]] = {
    "mimi": mimi,
    "helium": helium,
    "moshi": moshi,
    "runtime": runtime,
    "serve": serve,
}


def _prepare(device: str, threads: int | None, *, rounds: int, seconds: float = 1.0) -> None:
    import torch

    if rounds < 1 or seconds <= 0:
        raise ValueError(f"rounds ({rounds}) and seconds ({seconds:g}) must be positive")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("device is cuda, but PyTorch sees no GPU here; use --device cpu")
    if threads is not None:
        torch.set_num_threads(threads)


def _check_size(size: str, family: type) -> None:
    from moshi_zoo import registry

    if size not in (sizes := registry.names(family)):
        raise ValueError(f"size {size!r} is no preset of {family.__name__}: {', '.join(sizes)}")


def _tell(what: str) -> None:
    from rich.console import Console

    Console().print(what, style="dim")


def _show(model: str, report: "Report", out: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(
        "", "package", "median", "over the best peer", title=f"{model} on {report.device}, {report.threads} threads"
    )
    for row in report.rows:
        table.add_row(row.what, row.who, f"{row.value:.1f}", f"{row.ratio:.2f} x" if row.ratio else "")
    console.print(table)
    for name in report.missing:
        console.print(f"{name} is not installed, so it has no row.")
    _write(report.as_json(), out)


def _write(figures: str, out: Path | None) -> None:
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(figures + "\n")
        print(f"figures: {out}")
