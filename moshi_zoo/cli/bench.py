"""The verb ``bench``: speed and memory beside the peers."""

from pathlib import Path
from typing import Literal


def bench(
    model: Literal["mimi"],
    *,
    device: str = "cpu",
    threads: int | None = None,
    seconds: float = 10.0,
    rounds: int = 30,
    out: Path | None = None,
) -> None:
    """Measure a model at full size with random weights, side by side with PyPI moshi and transformers.

    Args:
        model: what to measure.
        device: cpu or cuda.
        threads: of the CPU; all cores by default.
        seconds: length of the clip that is encoded and decoded at once.
        rounds: measured rounds; medians are shown.
        out: a JSON file to write the figures to.
    """
    import torch
    from rich.console import Console
    from rich.table import Table

    from moshi_zoo.evaluation.bench_mimi import as_json, bench_mimi

    if rounds < 1 or seconds <= 0:
        raise ValueError(f"rounds ({rounds}) and seconds ({seconds:g}) must be positive")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("device is cuda, but PyTorch sees no GPU here; use --device cpu")
    if threads is not None:
        torch.set_num_threads(threads)
    console = Console()
    report = bench_mimi(
        device=device, seconds=seconds, rounds=rounds, tell=lambda what: console.print(what, style="dim")
    )
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
        out.write_text(as_json(report) + "\n")
        console.print(f"figures: {out}")
