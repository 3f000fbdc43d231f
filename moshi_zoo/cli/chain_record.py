"""What a chain remembers of its steps, ``chain.json``, and what is therefore to be done."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Literal

import yaml

from moshi_zoo.cli.chain_recipe import FIT, Step
from moshi_zoo.data.alignments import write_whole
from moshi_zoo.zoo import uri
from moshi_zoo.zoo.config import read_config

FILE = "chain.json"
_LOCK = ".chain.lock"

Inputs = dict[str, str]
"""All that a step's result depends on: name -> value, or the digest of one."""

Action = Literal["skip", "start", "resume", "redo"]


@dataclass
class Entry:
    """What is known of a step.

    Args:
        state: ``begun`` until its command has succeeded, however it ended otherwise.
        inputs: of the command.
        seconds: that it took, attempts that were stopped included.
        result: as :func:`result_of` tells it.
    """

    state: Literal["begun", "done"]
    inputs: Inputs
    seconds: float = 0.0
    result: str = ""


@dataclass(frozen=True)
class Decision:
    """What is to be done with a step, and why."""

    action: Action
    reason: str


class Record:
    """Reads and writes ``chain.json``; it is whole at any time.

    Args:
        folder: of the chain.

    Raises:
        ValueError: if the file is damaged.
    """

    def __init__(self, folder: Path):
        self._path = folder / FILE
        self._entries: dict[str, Entry] = {}
        if self._path.is_file():
            try:
                steps = json.loads(self._path.read_text())["steps"]
                self._entries = {name: Entry(**entry) for name, entry in steps.items()}
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{self._path} is damaged ({error}); without it, all steps are done anew") from error

    def __getitem__(self, step: Step) -> Entry | None:
        """What is known of a step; None: nothing."""
        return self._entries.get(step.name)

    def __setitem__(self, step: Step, entry: Entry) -> None:
        """Remember."""
        self._entries[step.name] = entry
        steps = {name: asdict(entry) for name, entry in self._entries.items()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._path, json.dumps({"steps": steps}, indent=1) + "\n")


@contextmanager
def locked(folder: Path) -> Iterator[IO[str]]:
    """Keep other chains out of a folder; the file that is yielded holds the lock wherever it is open.

    Raises:
        ValueError: if another chain runs there.
    """
    import fcntl  # not on Windows

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"another chain is at work in {folder}, or a step of one that was killed: wait for it, or use another "
                "folder, --run-name NAME"
            ) from None
        yield lock


def inputs_of(step: Step, results: Mapping[str, str]) -> Inputs:
    """All that the result of a step depends on.

    Recipes count by what they say (not by their comments), models by the sha256 of their weights, other steps by their
    results; files and folders of data from outside the chain by their names alone.

    Args:
        step: of the chain.
        results: of its parents, as :func:`result_of` tells them.
    """
    inputs = {"command": " ".join([step.verb, *map(str, step.recipes)] if step.recipes else step.words[:2])}
    inputs |= {key: value if isinstance(value, str) else json.dumps(value) for key, value in step.options.items()}
    inputs |= {str(recipe): _digest(yaml.safe_load(recipe.read_text())) for recipe in step.recipes}
    inputs |= {f"the step {parent!r}": results[parent] for parent in step.parents}
    for value in step.options.values():
        if isinstance(value, str) and step.folder.parent not in Path(value).parents and (sha256 := _weights_of(value)):
            inputs[f"the model {value}"] = sha256
    return inputs


def result_of(step: Step, inputs: Inputs) -> str:
    """What tells a result from others: the sha256 of a `fit`'s weights; of anything else, a digest of its inputs."""
    return _weights_of(str(step.folder)) or "" if step.verb == FIT else _digest(inputs)


def standing_result(step: Step, entry: Entry | None) -> str | None:
    """What :func:`result_of` says of a step that is done; None if it is not."""
    if entry is None or entry.state != "done" or not has_result(step):
        return None
    return result_of(step, entry.inputs)


def has_result(step: Step) -> bool:
    """Whether there is something in the step's folder: of a `fit`, its model."""
    if step.verb == FIT:
        return _weights_of(str(step.folder)) is not None
    return step.folder.is_dir() and any(step.folder.iterdir())


def decide(step: Step, entry: Entry | None, inputs: Inputs, *, is_asked_for: bool) -> Decision:
    """What is to be done with a step.

    Args:
        step: of the chain.
        entry: what is known of it.
        inputs: what its result would depend on now.
        is_asked_for: whether it shall be done even if nothing has changed.
    """
    if entry is None:
        return Decision("start", "not done yet")
    if entry.inputs != inputs:
        return Decision("redo", "; ".join(_differences(entry.inputs, inputs)))
    if entry.state == "begun":
        if step.verb != FIT:
            return Decision("resume", "it was not finished")
        if (step.folder / "checkpoints/last.ckpt").exists():
            return Decision("resume", "it was not finished: on from its last checkpoint")
        return Decision("start", "it was stopped before its first checkpoint")
    if not has_result(step):
        return Decision("redo", f"its result is gone from {step.folder}")
    if is_asked_for:
        return Decision("redo", "asked for")
    if result_of(step, inputs) != entry.result:
        return Decision("skip", "done; another command has changed its weights since")
    return Decision("skip", "done and unchanged")


def _weights_of(name: str) -> str | None:
    """The sha256 of a model's weights; None if the text names no model here."""
    if not 0 < len(name) < 256 or not any(Path(home, name).exists() for home in ("", uri.CHECKPOINTS, uri.RUNS)):
        return None  # at once: to look for similar names takes time
    try:
        return read_config(uri.resolve(name)).sha256
    except ValueError:
        return None


def _differences(before: Inputs, now: Inputs) -> Iterator[str]:
    for name in [*now, *(name for name in before if name not in now)]:
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        if "/" in name or " " in name or max(len(old or ""), len(new or "")) > 40:
            yield f"{name} has changed" if old and new else f"{name} is new" if new else f"{name} is no longer used"
        else:
            yield f"{name} was {old or 'not set'}, is {new or 'not set'}"


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
