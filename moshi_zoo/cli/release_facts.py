"""What only a person knows of a model that is released: a YAML file."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moshi_zoo.zoo.sampling import Sampling

_KINDS: dict[str, tuple[Any, str]] = {
    "data": (list, "a list"),
    "commands": (list, "a list"),
    "figures": (list, "a list"),
    "minutes": (int | float, "a number"),
    "sampling": (Mapping, "a mapping"),
}
_OPTIONAL = {"figures", "sampling"}


@dataclass(frozen=True)
class Figures:
    """Figures of an evaluation to show.

    Args:
        results: folder that a suite of ``evaluate`` has written.
        measures: their names.
    """

    results: Path
    measures: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """What the file holds.

    Args:
        about: what the model is and what it can do.
        limits: what it cannot, and what it must not be used for.
        data: what it has learnt from: a line for each source, with licence and whom to credit.
        commands: that made it, in order.
        hardware: it was trained on.
        minutes: that took, all stages together.
        figures: evaluations, and what of them to show.
        sampling: how to draw from a Moshi; None: as the model says.
    """

    about: str
    limits: str
    data: tuple[str, ...]
    commands: tuple[str, ...]
    hardware: str
    minutes: float
    figures: tuple[Figures, ...] = ()
    sampling: "Sampling | None" = None


def read_facts(file: Path) -> Facts:
    """Read and check such a file.

    Raises:
        ValueError: if it is no YAML, says something else, or leaves something out.
    """
    import yaml

    from moshi_zoo.registry import unknown

    try:
        content = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{file} is no YAML: {' '.join(str(error).split())}") from error
    known = [field.name for field in fields(Facts)]
    if not isinstance(content, Mapping):
        raise ValueError(f"{file} must hold entries ({', '.join(known)}), not {content!r}")
    for name, value in content.items():
        if name not in known:
            raise ValueError(f"{file}: {unknown('entry', str(name), known)}")
        kind, said = _KINDS.get(name, (str, "a text"))
        if not isinstance(value, kind):
            raise ValueError(f"{file}: {name} is {value!r}; it must be {said}")
    if missing := [name for name in known if name not in content and name not in _OPTIONAL]:
        raise ValueError(f"{file} does not say: {', '.join(missing)}")
    return Facts(
        about=content["about"],
        limits=content["limits"],
        data=tuple(map(str, content["data"])),
        commands=tuple(map(str, content["commands"])),
        hardware=content["hardware"],
        minutes=content["minutes"],
        figures=tuple(_figures(file, entry) for entry in content.get("figures", ())),
        sampling=_sampling(file, content["sampling"]) if "sampling" in content else None,
    )


def _figures(file: Path, entry: Any) -> Figures:
    is_pair = isinstance(entry, Mapping) and entry.keys() == {"results", "measures"}
    if not is_pair or not isinstance(entry["measures"], list):
        raise ValueError(f"{file}: an entry of figures is {{results: FOLDER, measures: [NAME, ...]}}, not {entry!r}")
    return Figures(Path(str(entry["results"])), tuple(map(str, entry["measures"])))


def _sampling(file: Path, entry: Any) -> "Sampling":
    from moshi_zoo.zoo.sampling import read_sampling

    try:
        return read_sampling(entry)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
