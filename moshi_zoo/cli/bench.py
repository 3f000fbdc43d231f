"""The verb ``bench``: speed and memory beside the peers."""

from pathlib import Path
from typing import Literal


def bench(
    model: Literal["mimi", "helium", "moshi"],
    *,
    training: Path | None = None,
    device: str = "cpu",
    threads: int | None = None,
    size: str = "",
    seconds: float | None = None,
    rounds: int = 30,
    out: Path | None = None,
) -> None:
    """Measure a model with random weights, side by side with PyPI moshi and transformers.

    Args:
        model: what to measure.
        training: for mimi: a recipe, whose training steps are measured instead, alone: nobody else has any.
        device: cpu or cuda.
        threads: of the CPU; all cores by default.
        size: for helium and moshi: the preset to build, helium-base or moshi-base by default; those that end in nano
            are over in a minute.
        seconds: length of the clip that mimi encodes and decodes at once (10), or of each of the two that a training
            step of moshi takes (60).
        rounds: measured rounds; medians are shown.
        out: a JSON file to write the figures to.
    """
    import torch
    from rich.console import Console
    from rich.table import Table

    from moshi_zoo import registry
    from moshi_zoo.evaluation.bench_helium import bench_helium
    from moshi_zoo.evaluation.bench_mimi import bench_mimi
    from moshi_zoo.evaluation.bench_moshi import bench_moshi
    from moshi_zoo.models.helium import Helium
    from moshi_zoo.models.moshi import Moshi

    seconds = (60.0 if model == "moshi" else 10.0) if seconds is None else seconds
    if rounds < 1 or seconds <= 0:
        raise ValueError(f"rounds ({rounds}) and seconds ({seconds:g}) must be positive")
    sizes = {"mimi": [], "helium": registry.names(Helium), "moshi": registry.names(Moshi)}[model]
    if size and size not in sizes:
        raise ValueError(f"size {size!r} is no preset of {model}: {', '.join(sizes) or 'it has one size here'}")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("device is cuda, but PyTorch sees no GPU here; use --device cpu")
    if threads is not None:
        torch.set_num_threads(threads)
    console = Console()
    if training is not None:
        from moshi_zoo.cli.bench_training import bench_training, table_of

        if model != "mimi":
            raise ValueError(f"--training measures mimi, not {model}")
        speed = bench_training(training, device=device, rounds=rounds)
        console.print(table_of(speed))
        console.print(f"{speed.seconds_per_step * 1e3:.0f} ms a step, {speed.audio_per_second:.1f} s of audio a second")
        if out:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(speed.as_json() + "\n")
        return

    def tell(what: str) -> None:
        console.print(what, style="dim")

    if model == "helium":
        report = bench_helium(size=size or "helium-base", device=device, rounds=rounds, tell=tell)
    elif model == "moshi":
        size = size or "moshi-base"
        report = bench_moshi(size=size, device=device, seconds=seconds, rounds=rounds, tell=tell)
    else:
        report = bench_mimi(device=device, seconds=seconds, rounds=rounds, tell=tell)
    table = Table(
        "", "package", "median", "over the best peer", title=f"{model} on {report.device}, {report.threads} threads"
    )
    for row in report.rows:
        table.add_row(row.what, row.who, f"{row.value:.1f}", f"{row.ratio:.2f} x" if row.ratio else "")
    console.print(table)
    for name in report.missing:
        console.print(f"{name} is not installed, so it has no row.")
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(report.as_json() + "\n")
        console.print(f"figures: {out}")
