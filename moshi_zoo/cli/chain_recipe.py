"""A chain as it is written down, ``chain.yaml``: stages of training and what prepares their data, in order.

    run_name: nano
    steps:
      mimi:
        fit: recipes/nano/mimi.yaml
      dialogues:
        data: encode
        source: calls/manifest.jsonl
        model: ${step:mimi}
        out: ${here}

A step is a command line: its first key is the verb with the word behind it, the others are the verb's options (nested
ones have dots between their names, as on the command line). ``fit`` takes a recipe, or a list of recipes to stack.
``${step:NAME}`` is the folder of an earlier step, ``${here}`` the step's own: ``runs/<run_name>/<step>``.
"""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from moshi_zoo.cli.command import Function, Target
from moshi_zoo.cli.data import TOOLS
from moshi_zoo.cli.evaluate import SUITES
from moshi_zoo.cli.models import import_
from moshi_zoo.cli.run_folder import run_folder
from moshi_zoo.cli.tokenizer import ACTIONS
from moshi_zoo.registry import unknown

FIT = "fit"
PREPARATIONS: dict[str, Target] = {"data": TOOLS, "tokenizer": ACTIONS, "evaluate": SUITES, "import": import_}
"""The verbs, other than `fit`, that a step can be."""

_REFERENCE = re.compile(r"\$\{(here|step:([^}]*))\}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_OURS = ("config", "run_name", "ckpt_path")  # what the chain says to `fit`

Value = str | list[str]


@dataclass(frozen=True)
class Step:
    """One command of a chain.

    Args:
        name: in the chain.
        verb: of the command.
        words: the command line behind ``python -m moshi_zoo``.
        options: the same as names and values; references are filled in.
        recipes: those that a `fit` stacks.
        parents: names of the steps whose results it takes.
        folder: where its result is.
    """

    name: str
    verb: str
    words: tuple[str, ...]
    options: Mapping[str, Value]
    recipes: tuple[Path, ...]
    parents: tuple[str, ...]
    folder: Path


@dataclass(frozen=True)
class Chain:
    """Steps in order, and the folder of the chain."""

    folder: Path
    steps: tuple[Step, ...]

    def __getitem__(self, name: str) -> Step:
        """The step of a name."""
        for step in self.steps:
            if step.name == name:
                return step
        raise ValueError(unknown("step", name, (step.name for step in self.steps)))


def read_chain(path: Path, *, run_name: str | None = None, changes: list[str] | None = None) -> Chain:
    """Read a chain and check all that can be known without running it.

    Args:
        path: of the YAML file.
        run_name: name of the chain's folder in ``runs/``; the one in the file, if not given.
        changes: options to set, such as ``mimi.trainer.max_steps=100``.

    Raises:
        ValueError: if a step, a verb or a recipe is unknown, or a step takes the result of a later one.
    """
    content = _read(path)
    written = _flat_steps(content.get("steps"), path)
    for change in changes or []:
        _set(written, change)
    folder = run_folder(str(run_name or content.get("run_name") or ""))
    steps: list[Step] = []
    for name, options in written.items():
        try:
            steps.append(_step(name, options, folder, known=list(written), earlier=[s.name for s in steps]))
        except ValueError as error:
            raise ValueError(f"{path}, step {name!r}: {error}") from error
    return Chain(folder, tuple(steps))


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(unknown("chain", str(path), map(str, Path("recipes").glob("**/chain*.yaml"))))
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not isinstance(content.get("steps"), dict):
        raise ValueError(f"{path} is no chain: it needs `run_name: NAME` and `steps:`, a mapping of names to steps")
    for key in content.keys() - {"run_name", "steps"}:
        raise ValueError(f"{path}: {unknown('entry of a chain', str(key), ('run_name', 'steps'))}")
    return content


def _flat_steps(steps: Any, path: Path) -> dict[str, dict[str, Any]]:
    flat = {}
    for name, options in steps.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"{path}: a step is called {name!r}; use letters, digits, - and _")
        if not isinstance(options, dict) or not options:
            raise ValueError(f"{path}, step {name!r} is no command, such as `fit: recipes/nano/mimi.yaml`")
        flat[name] = dict(_flat(options))
    return flat


def _flat(options: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in options.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _set(steps: dict[str, dict[str, Any]], change: str) -> None:
    place, sign, value = change.partition("=")
    name, dot, option = place.partition(".")
    if not sign or not dot or not option:
        raise ValueError(f"--set {change}: say STEP.OPTION=VALUE, such as mimi.trainer.max_steps=100")
    if name not in steps:
        raise ValueError(f"--set {change}: {unknown('step', name, steps)}")
    steps[name][option.replace("-", "_")] = value


def _step(name: str, written: dict[str, Any], folder: Path, *, known: list[str], earlier: list[str]) -> Step:
    references = _References(name, folder, known, earlier)
    (verb, what), *rest = written.items()
    options = {key.replace("-", "_"): references.fill_in(value) for key, value in rest}
    if verb == FIT:
        recipes = tuple(_recipe(path) for path in (what if isinstance(what, list) else [what]))
        words = _fit_words(recipes, references.here, options)
    elif verb in PREPARATIONS:
        recipes, words = (), _preparation_words(verb, str(references.fill_in(what)), options)
        if not references.here_is_used:
            raise ValueError("it does not say that its result goes to ${here}, such as `out: ${here}`")
    else:
        raise ValueError(unknown("verb of a chain", str(verb), [FIT, *PREPARATIONS]))
    return Step(name, verb, tuple(words), options, recipes, tuple(references.parents), references.here)


class _References:
    """Fills ``${step:NAME}`` and ``${here}`` in, and notes which there were."""

    def __init__(self, name: str, folder: Path, known: list[str], earlier: list[str]):
        self.name, self.folder, self.known, self.earlier = name, folder, known, earlier
        self.here = folder / name
        self.parents: list[str] = []
        self.here_is_used = False

    def fill_in(self, value: Any) -> Value:
        if isinstance(value, list):
            return [str(self.fill_in(item)) for item in value]
        return _REFERENCE.sub(self._folder, value if isinstance(value, str) else json.dumps(value))

    def _folder(self, match: re.Match[str]) -> str:
        step = match[2]
        if step is None:
            self.here_is_used = True
            return str(self.here)
        if step not in self.known:
            raise ValueError(unknown("step", step, self.known))
        if step == self.name:
            raise ValueError(f"{match[0]} is the step itself; its own folder is ${{here}}")
        if step not in self.earlier:
            raise ValueError(f"it takes the result of {step!r}, which comes after it; put {step!r} first")
        if step not in self.parents:
            self.parents.append(step)
        return str(self.folder / step)


def _recipe(path: Any) -> Path:
    if not isinstance(path, str) or not Path(path).is_file():
        raise ValueError(unknown("recipe", str(path), map(str, Path("recipes").glob("**/*.yaml"))))
    return Path(path)


def _fit_words(recipes: tuple[Path, ...], here: Path, options: Mapping[str, Value]) -> Iterator[str]:
    for key in _OURS:
        if key in options:
            raise ValueError(f"{key} is given by the chain")
    yield FIT
    for recipe in recipes:
        yield from ("--config", str(recipe))
    yield from ("--run_name", "/".join(here.parts[1:]))  # below runs/
    for key, value in options.items():
        yield f"--{key}={json.dumps(value) if isinstance(value, list) else value}"


def _preparation_words(verb: str, what: str, options: Mapping[str, Value]) -> Iterator[str]:
    target, given = PREPARATIONS[verb], dict(options)
    yield verb
    if isinstance(target, Mapping):
        if what not in target:
            raise ValueError(unknown(f"kind of {verb}", what, target))
        yield what
        positional = _positional(target[what])
    else:
        positional = _positional(target)
        given[positional[0]] = what
    by_place = [name for name in positional if name in given]
    for name in sorted(by_place, key=lambda name: isinstance(given[name], list)):  # lists come last
        yield from _words(given.pop(name))
    for name, value in given.items():
        yield from [f"--{name}", *value] if isinstance(value, list) else [f"--{name}={value}"]


def _words(value: Value) -> list[str]:
    return value if isinstance(value, list) else [value]


def _positional(function: Function) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
