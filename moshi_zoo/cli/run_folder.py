"""The folder of a run, ``runs/<run_name>``, and what happens to one that is there already."""

from pathlib import Path

from moshi_zoo.zoo.uri import RUNS

_RESULTS = ("checkpoints", "zoo", "metrics.csv", "samples")


def run_folder(run_name: str) -> Path:
    """Where a run writes.

    Raises:
        ValueError: if the name leads out of ``runs/``.
    """
    path = Path(run_name)
    if not run_name or path.is_absolute() or ".." in path.parts or path == Path():
        raise ValueError(f"--run_name {run_name!r} must name a folder inside {RUNS}/, such as mimi-nano")
    return RUNS / path


def checkpoint_path(folder: Path, ckpt_path: str | None) -> Path | None:
    """The file behind ``--ckpt_path``: ``last`` and ``best`` are those of the run's folder.

    Raises:
        ValueError: if there is no such file.
    """
    if ckpt_path is None:
        return None
    path = folder / "checkpoints" / f"{ckpt_path}.ckpt" if ckpt_path in ("last", "best") else Path(ckpt_path)
    if not path.exists():
        others = ", ".join(sorted(str(p) for p in path.parent.glob("*.ckpt")))
        raise ValueError(f"--ckpt_path {ckpt_path}: there is no {path} ({others or 'no checkpoint at all'} there)")
    return path


def make_room(folder: Path, checkpoint: Path | None) -> None:
    """Move an earlier run of this name aside, unless it is the one that goes on.

    Args:
        folder: of the run about to start.
        checkpoint: which it resumes from.
    """
    goes_on = checkpoint is not None and folder.absolute() in checkpoint.absolute().parents
    if goes_on or not any((folder / name).exists() for name in _RESULTS):
        return
    aside = move_aside(folder)
    print(f"{folder} held an earlier run: it is now {aside} (--ckpt_path last would have continued it)", flush=True)


def move_aside(folder: Path) -> Path:
    """Give a folder the next free name, such as ``mimi-nano.1``: nothing that was made is ever deleted."""
    number = 1
    while (aside := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    folder.rename(aside)
    return aside
