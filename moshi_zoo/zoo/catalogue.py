"""The models that can be had by name: ``checkpoints/catalogue.yaml``, which the wheel holds a copy of."""

import functools
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from moshi_zoo import registry

Layout = Literal["kyutai", "hf", "zoo"]
FILE = "catalogue.yaml"


@dataclass(frozen=True)
class CatalogueFile:
    """A file of an entry.

    Args:
        name: in its repository; may be a pattern such as ``model*.safetensors``.
        bytes: its size; 0: not known.
        sha256: of its content; empty: not known.
        repository: on the hub, where it is another than the entry's.
    """

    name: str
    bytes: int = 0
    sha256: str = ""
    repository: str = ""

    @property
    def is_pattern(self) -> bool:
        """Whether it stands for any number of files."""
        return "*" in self.name


@dataclass(frozen=True)
class CatalogueEntry:
    """A model that can be had.

    Args:
        name: what to call it.
        component: registered name of what it is.
        licence: SPDX name.
        format: layout of its files.
        about: one line.
        preset: whose sizes it has.
        repository: ``owner/name`` on the hub; empty: it ships beside the catalogue.
        revision: commit or branch.
        files: of the repository.
        about_bytes: what it weighs, roughly.
        codec: name of the entry whose codes it speaks.
    """

    name: str
    component: str
    licence: str
    format: Layout
    about: str = ""
    preset: str = ""
    repository: str = ""
    revision: str = "main"
    files: tuple[CatalogueFile, ...] = ()
    about_bytes: int = 0
    codec: str = ""

    @property
    def ships(self) -> bool:
        """Whether its folder lies beside the catalogue."""
        return not self.repository

    @property
    def size(self) -> int:
        """Bytes to download, roughly."""
        return max(self.about_bytes, sum(file.bytes for file in self.files))


def catalogue() -> dict[str, CatalogueEntry]:
    """All entries by name."""
    return _read(_home() / FILE)


def find(name: str) -> CatalogueEntry:
    """The entry of that name.

    Raises:
        ValueError: if there is none, with the nearest names.
    """
    entries = catalogue()
    if name not in entries:
        raise ValueError(registry.unknown("model in the catalogue", name, entries))
    return entries[name]


def of_repository(repository: str) -> CatalogueEntry | None:
    """The entry that is in a repository of the hub."""
    return next((entry for entry in catalogue().values() if entry.repository == repository), None)


def shipped_folder(name: str) -> Path | None:
    """Where a model that ships with this package is, if there is one of that name."""
    entry = catalogue().get(name)
    return _home() / name if entry and entry.ships else None


def _home() -> Path:
    package = Path(__file__).parents[1]
    in_wheel = package / "checkpoints"
    return in_wheel if (in_wheel / FILE).is_file() else package.parent / "checkpoints"


@functools.cache
def _read(file: Path) -> dict[str, CatalogueEntry]:
    try:
        return {name: _entry(name, said) for name, said in yaml.safe_load(file.read_text()).items()}
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{file}: {error}") from error


def _entry(name: str, said: dict[str, Any]) -> CatalogueEntry:
    if unknown := said.keys() - {field.name for field in fields(CatalogueEntry)}:
        raise ValueError(f"{name}: {registry.unknown('entry', min(unknown), [f.name for f in fields(CatalogueEntry)])}")
    files = tuple(CatalogueFile(**file) for file in said.get("files", ()))
    rest = {key: value for key, value in said.items() if key != "files"}
    entry = CatalogueEntry(name=name, files=files, **rest)
    if entry.format not in get_args(Layout):
        raise ValueError(f"{name}: {registry.unknown('format', entry.format, get_args(Layout))}")
    return entry
