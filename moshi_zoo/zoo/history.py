"""How a model came about, from the folders of the runs in its lineage: for its model card."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import yaml

from moshi_zoo.zoo.lineage import Ancestor

RECIPE, METRICS = "config.yaml", "metrics.csv"
_ABSOLUTE = re.compile(r"(?<![\w.~:/-])/(?:[^\s/'\",:]+/)*")
_MONITORS = ("val/loss", "val/mel")  # of a language model, of a codec
_OF_THE_MACHINE = ("trainer.default_root_dir", "ckpt_path", "weights_only", "threads", "run_name", "init_from")


@dataclass(frozen=True)
class Step:
    """A run in the history of a model.

    Args:
        name: of the run, or of the model where there is no run.
        stage: what made the weights, such as ``LitMoshi``.
        steps: of gradient descent, up to the weights that were kept; 0: not known.
        score: the best validation, such as ``val/loss 1.234``; empty: not known.
    """

    name: str
    stage: str
    steps: int = 0
    score: str = ""


def history(model: Ancestor, released: set[str]) -> list[Step]:
    """The runs that made a model, the first one first.

    Args:
        model: with its lineage.
        released: sha256s of the models that have cards of their own, where the history ends.
    """
    steps: list[Step] = []
    for parent in model.parents:
        if parent.sha256 not in released:
            steps += [step for step in history(parent, released) if step not in steps]
    return [*steps, _step(model)]


def recipe(model: Ancestor) -> str:
    """The recipe of the run that wrote a model, in YAML; without what is not set, and without the machine's folders.

    Empty if there is no run.
    """
    run = _run(model)
    content = yaml.safe_load((run / RECIPE).read_text()) if run else None
    return yaml.safe_dump(_without_places(content, ""), sort_keys=False, width=120) if content else ""


def without_places(text: str) -> str:
    """A text, such as a command, in which absolute paths have only their last part."""
    return _ABSOLUTE.sub("", text)


def _step(model: Ancestor) -> Step:
    stage = model.config.stage if model.config else ""
    run = _run(model)
    if run is None:
        return Step(PurePath(model.name).name, stage)
    rows = _rows(run / METRICS)
    monitor = next((name for name in _MONITORS if any(row.get(name) for row in rows)), "")
    scored = [(float(row[monitor]), int(row["step"]) + 1) for row in rows if row.get(monitor)] if monitor else []
    if not scored:
        return Step(run.name, stage, max((int(row["step"]) + 1 for row in rows), default=0))
    score, steps = min(scored)
    return Step(run.name, stage, steps, f"{monitor} {score:.4g}")


def _run(model: Ancestor) -> Path | None:
    """The folder of the run that wrote a model, if it is still there."""
    run = model.folder.absolute().parent if model.folder and model.folder.absolute().name == "zoo" else None
    return run if run and (run / RECIPE).is_file() and (run / METRICS).is_file() else None


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def _without_places(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        inner = {k: _without_places(v, f"{key}.{k}".strip(".")) for k, v in value.items()}
        return {k: v for k, v in inner.items() if v is not None and f"{key}.{k}".strip(".") not in _OF_THE_MACHINE}
    if isinstance(value, list):
        return [_without_places(v, key) for v in value]
    return without_places(value) if isinstance(value, str) else value
