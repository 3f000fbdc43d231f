"""``bench serve``: a server under load."""

from pathlib import Path
from typing import Literal


def serve(
    *,
    model: str,
    codec: str | None = None,
    sessions: int = 8,
    minutes: float = 1.0,
    bad_share: float = 0.25,
    speech: Path | None = None,
    device: str = "cpu",
    compile: Literal["auto", "always", "never"] = "auto",
    threads: int | None = None,
    out: Path | None = None,
) -> None:
    """Start a server, and talk to it in real time from many clients; some disconnect, send garbage, or stall.

    Delays are measured by the clients that behave; half of them speak Ogg Opus, half PCM.

    Args:
        model: name or folder of a Moshi.
        codec: name or folder of its codec; the one it was trained with, if not given.
        sessions: clients at once, which is also as many as the server takes.
        minutes: to talk for.
        bad_share: of the clients, who misbehave, from 0 to 1.
        speech: folder or manifest of recordings to speak; synthetic speech, if not given.
        device: where the server computes.
        compile: as of `serve`.
        threads: likewise.
        out: a JSON file to write the figures to.
    """
    if sessions < 1 or minutes <= 0 or not 0 <= bad_share < 1:
        raise ValueError(
            f"sessions ({sessions}) must be 1 or more, minutes ({minutes:g}) positive, and bad_share ({bad_share:g}) "
            "from 0 to below 1"
        )
    from rich.console import Console
    from rich.table import Table

    from moshi_zoo.evaluation.bench_serve import QUANTILES, bench_serve

    console = Console()
    report = bench_serve(
        model,
        codec=codec,
        sessions=sessions,
        minutes=minutes,
        bad=int(sessions * bad_share),
        speech=speech,
        device=device,
        compile=compile,
        threads=threads,
        tell=lambda what: console.print(what, style="dim"),
    )
    table = Table("ms", *(f"{100 * share:g} %" if share < 1 else "most" for share in QUANTILES))
    for name, values in (
        ("reply, one client alone", report.lone_reply_ms),
        ("reply", report.reply_ms),
        ("frame in the server", report.frame_ms),
        ("step of the model", report.step_ms),
    ):
        table.add_row(name, *(f"{value:.1f}" for value in values.values()))
    console.print(table)
    console.print(f"late {report.late:.2f} %, dropped {_listed(report.dropped)}, failed steps {report.failed_steps}")
    console.print(f"ended: {_listed(report.ended)}; still there: {report.left_over}")
    console.print(f"misdeeds: {_listed(report.misdeeds)}; good clients cut off: {_listed(report.failures)}")
    first, middle, last = report.memory_mib
    console.print(f"memory {first:.0f} MiB, {middle:.0f} half-way, {last:.0f} at the end; {report.cpu:.2f} cores")
    console.print(f"the machine's load before it all: {report.load_before:.1f}")
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(report.as_json() + "\n")
        console.print(f"figures: {out}")


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
