"""One name for every component and preset, from the recipe to the saved checkpoint.

``@register("mimi", presets={"nano": {...}})`` stands beside the class. ``mimi`` is then a component and ``mimi-nano`` a
preset: the component with all of its sizes. Two spellings of the same thing exist:

* ``{class_path, init_args}``: what jsonargparse reads and writes (recipes, hyper-parameters);
* ``{component, init_args}``: what a zoo folder holds. It can name registered components only, so that a folder from a
  stranger cannot run code.
"""

import difflib
import functools
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

Spec = dict[str, Any]
T = TypeVar("T")

_HOMES = ("moshi_zoo.modules", "moshi_zoo.models", "moshi_zoo.losses")  # packages whose import fills the table
_WRAPPED = "Does not validate against any of the Union subtypes"
_PLAIN_STRING = re.compile(r"[A-Za-z0-9_+-]*")  # no dot, slash or colon: cannot name code or a file


@dataclass(frozen=True)
class Component:
    """A registered class and its named sets of arguments."""

    cls: type
    presets: Mapping[str, Spec] = field(default_factory=dict)


_components: dict[str, Component] = {}


def register(name: str, presets: Mapping[str, Spec] | None = None) -> Callable[[type[T]], type[T]]:
    """Give a class its one name, and presets that set every size (a preset is total).

    Raises:
        ValueError: if another class already has the name.
    """

    def decorate(cls: type[T]) -> type[T]:
        taken = _components.get(name)
        if taken and _path(taken.cls) != _path(cls):
            raise ValueError(f"the name {name!r} is taken by {_path(taken.cls)}; {_path(cls)} needs another one")
        _components[name] = Component(cls, dict(presets or {}))
        return cls

    return decorate


def component(name: str) -> type:
    """The class registered under a name."""
    _discover()
    if name not in _components:
        raise ValueError(unknown("component", name, _components))
    return _components[name].cls


def names(cls: type = object) -> list[str]:
    """Names of all presets whose class is (a subclass of) ``cls``."""
    _discover()
    return sorted(f"{n}-{p}" for n, c in _components.items() if issubclass(c.cls, cls) for p in c.presets)


def preset(name: str) -> Spec:
    """The ``{class_path, init_args}`` of a preset such as ``mimi-nano``; nested parts are expanded too."""
    _discover()
    for owner, entry in _components.items():
        suffix = name.removeprefix(f"{owner}-")
        if suffix != name and suffix in entry.presets:
            return _to_class_paths({"component": owner, "init_args": entry.presets[suffix]})
    raise ValueError(unknown("preset", name, names()))


def build(name: str, **overrides: Any) -> Any:
    """Make the module of a preset or component, with some arguments replaced: ``build("mimi-nano", dim=96)``."""
    _discover()
    spec = _to_class_paths({"component": name}) if name in _components else preset(name)
    return instantiate({**spec, "init_args": {**spec.get("init_args", {}), **overrides}})


def instantiate(spec: Spec) -> Any:
    """Make the object of a ``{class_path, init_args}``, with the checks and nested parts of the command line.

    Raises:
        ValueError: if an argument is unknown or of the wrong type, or the class refuses it.
    """
    parser, config = _parse(spec)
    try:
        return parser.instantiate(config).it
    except ValueError as error:
        refusal: BaseException = error  # of a component, wrapped by jsonargparse in all that it has tried
        while str(refusal).startswith(_WRAPPED) and (cause := refusal.__cause__ or refusal.__context__):
            refusal = cause
        name = spec["class_path"].rpartition(".")[2]
        raise ValueError(f"cannot build {name}: {refusal}") from error


def complete(spec: Spec) -> Spec:
    """The same ``{class_path, init_args}`` with all defaults written out: a saved one outlives a changed default."""
    return _parse(spec)[1].as_dict()["it"]


def to_portable(spec: Any) -> Any:
    """``{class_path, init_args}`` -> ``{component, init_args}``, recursively.

    Raises:
        ValueError: if a class is not registered: such a model could not be loaded by others.
    """
    if isinstance(spec, Mapping):
        inner = {k: to_portable(v) for k, v in spec.items() if k != "class_path"}
        return {"component": _name_of(spec["class_path"]), **inner} if "class_path" in spec else inner
    return [to_portable(v) for v in spec] if isinstance(spec, list | tuple) else spec


def from_portable(spec: Spec) -> Spec:
    """``{component, init_args}`` of a zoo folder -> ``{class_path, init_args}``; refuses everything that could be code.

    Raises:
        ValueError: for an unknown component or argument, a ``class_path``, or a string that could name code or a file.
    """
    _refuse_code(spec)
    return _to_class_paths(spec)


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """The message for a name nobody knows: with the nearest ones."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known) or 'none'}"
    return f"no {kind} is called {name!r}; {hint}"


def _to_class_paths(spec: Any) -> Any:
    if isinstance(spec, Mapping):
        inner = {k: _to_class_paths(v) for k, v in spec.items() if k != "component"}
        return {"class_path": _path(component(spec["component"])), **inner} if "component" in spec else inner
    return [_to_class_paths(v) for v in spec] if isinstance(spec, list | tuple) else spec


def _refuse_code(value: Any) -> None:
    if isinstance(value, Mapping):
        if "class_path" in value:
            raise ValueError(
                f"class_path {value['class_path']!r} in a zoo folder: only registered components are loaded"
            )
        if "component" in value:
            _refuse_unknown_arguments(value["component"], value.get("init_args"))
        for inner in value.values():
            _refuse_code(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _refuse_code(inner)
    elif isinstance(value, str) and not _PLAIN_STRING.fullmatch(value):
        raise ValueError(f"the text {value!r} in a zoo folder's init_args may name code or a file: refused")
    elif value is not None and not isinstance(value, str | int | float | bool):
        raise ValueError(
            f"{value!r} ({type(value).__name__}) in a zoo folder's init_args: only plain values are loaded"
        )


def _refuse_unknown_arguments(name: str, init_args: Any) -> None:
    known = inspect.signature(component(name)).parameters
    for argument in init_args if isinstance(init_args, Mapping) else ():
        if argument not in known:
            raise ValueError(unknown(f"argument of {name}", str(argument), known))


def _parse(spec: Spec) -> tuple[Any, Any]:
    from jsonargparse import ArgumentParser

    module, _, qualname = spec["class_path"].rpartition(".")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(getattr(importlib.import_module(module), qualname), "it")
    try:
        return parser, parser.parse_object({"it": spec})
    except Exception as error:
        raise ValueError(f"cannot build {qualname}: {error}") from error


def _name_of(path: str) -> str:
    _discover()
    for name, entry in _components.items():
        if _path(entry.cls) == path:
            return name
    raise ValueError(
        f"{path} is not registered, so it cannot be saved in a zoo folder; decorate it with @register(...)"
    )


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


@functools.cache
def _discover() -> None:
    for home in _HOMES:
        package = importlib.import_module(home)
        for module in pkgutil.iter_modules(package.__path__, home + "."):
            importlib.import_module(module.name)
