"""From what a user types to a zoo folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from moshi_zoo import registry
from moshi_zoo.zoo import catalogue
from moshi_zoo.zoo.config import ZooConfig, read_config
from moshi_zoo.zoo.folder import is_zoo_folder

CHECKPOINTS, RUNS = Path("checkpoints"), Path("runs")  # below the folder the program was started in


@dataclass(frozen=True)
class Entry:
    """A model that is here.

    Args:
        name: what to call it, such as ``checkpoints/mimi-nano`` or ``runs/mimi-nano``.
        folder: its zoo folder.
        config: what its config says; None if that cannot be read.
        problem: why not.
    """

    name: str
    folder: Path
    config: ZooConfig | None
    problem: str = ""


def resolve(name: str | Path) -> Path:
    """The zoo folder behind a name.

    Args:
        name: a zoo folder; a run's folder; the name of a folder in ``checkpoints/`` or of a run in ``runs/``; that of a
            model that ships with the repository; or ``hf://owner/name[@revision]``, downloaded unless it is here. A
            folder that is something else does not count, whatever its name.

    Raises:
        ValueError: if there is none, with the nearest names.
    """
    text = str(name)
    if text.startswith("hf://"):
        from moshi_zoo.zoo import download  # here, for it needs this module

        return download.on_demand(text)
    if "://" in text:
        raise ValueError(
            f"{text.partition('://')[0]}:// is no place for models; what is: a name, a folder, hf://owner/name"
        )
    path = Path(name)
    if (here := _zoo_folder_at(path)) is not None:
        return here
    found = [folder for folder in (_zoo_folder_at(home / path) for home in _homes(path)) if folder]
    if len(found) > 1:
        raise ValueError(f"{text!r} is both {found[0]} and {found[1]}; name the folder")
    if found:
        return found[0]
    if (shipped := catalogue.shipped_folder(text)) and is_zoo_folder(shipped):
        return shipped
    raise ValueError(_why_not(text, path))


def entries() -> Iterator[Entry]:
    """All models in ``checkpoints/`` and ``runs/``, by name."""
    for root in (CHECKPOINTS, RUNS):
        for config in sorted(root.glob("**/config.yaml")):
            folder = config.parent
            if is_zoo_folder(folder):
                home = folder.parent if root == RUNS and folder.name == "zoo" else folder
                yield entry(home.as_posix(), folder)


def shipped() -> Iterator[Entry]:
    """All models that came with this package, wherever it was started."""
    for known in catalogue.catalogue().values():
        if (folder := catalogue.shipped_folder(known.name)) and is_zoo_folder(folder):
            yield entry(known.name, folder)


def entry(name: str, folder: Path) -> Entry:
    """What a zoo folder holds, to be called by a name."""
    try:
        return Entry(name, folder, read_config(folder))
    except ValueError as error:
        return Entry(name, folder, None, str(error))


def _homes(path: Path) -> list[Path]:
    """Where else a name may be; what goes up or begins at the root is no name."""
    return [] if path.is_absolute() or ".." in path.parts else [CHECKPOINTS, RUNS]


def _zoo_folder_at(path: Path) -> Path | None:
    return next((folder for folder in (path, path / "zoo") if is_zoo_folder(folder)), None)


def _why_not(text: str, path: Path) -> str:
    if path.is_file():
        return f"{text} is a file, a model is a folder: `python -m moshi_zoo import {text} --format ... --out DIR`"
    if (run := next((p for p in (path, RUNS / path) if (p / "checkpoints").is_dir()), None)) is not None:
        return f"the run {run} has no zoo folder yet: it is written after the first validation and at the end"
    if (known := catalogue.catalogue().get(text)) is not None:
        if known.ships:
            return f"{text} ships with the repository, and is not in this installation: clone it, and start from there"
        return f"{text} is not here yet: `python -m moshi_zoo download {text}` fetches it ({known.size / 1e9:.1f} GB)"
    if path.is_dir():
        return f"{text} is no zoo folder: config.yaml and model.safetensors are not both there"
    if text in registry.names():
        return (
            f"{text!r} is a preset: sizes without weights. Train it (`python -m moshi_zoo fit --config recipes/...`), "
            f"or registry.build({text!r}) makes one with random weights"
        )
    here = [e.name for e in entries()]
    return registry.unknown("model", text, here + [name.partition("/")[2] for name in here])
