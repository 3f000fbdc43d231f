"""Where a model comes from: the tree of models that went into it, by the parents that zoo folders record."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from moshi_zoo.zoo import uri
from moshi_zoo.zoo.config import Parent, ZooConfig, read_config

Standing = Literal["here", "moved", "changed", "missing"]


@dataclass(frozen=True)
class Ancestor:
    """A model in the lineage of another, or that one itself.

    Args:
        name: under which it was used.
        sha256: of the weights that were used.
        standing: whether they are ``here`` under this name, ``moved`` to another, or lost: the name has other weights
            by now (``changed``), or there is nothing of that name (``missing``).
        folder: where the weights are; None if they are lost.
        config: what that folder says of them.
        parents: the models that it was made from, as far as they are known.
    """

    name: str
    sha256: str
    standing: Standing
    folder: Path | None = None
    config: ZooConfig | None = None
    parents: tuple["Ancestor", ...] = ()


def trace(name: str) -> Ancestor:
    """The lineage of a model.

    A parent is looked for under its name and then, by the sha256 of its weights, among all models in ``checkpoints/``
    and ``runs/``, and those that came with this package. Weights are taken to be what their folder's config says
    (:func:`moshi_zoo.zoo.folder.verify` compares them with it).

    Args:
        name: of a model, as for :func:`moshi_zoo.zoo.uri.resolve`.

    Raises:
        ValueError: if there is no such model.
    """
    folder = uri.resolve(name)
    config = read_config(folder)
    return _traced(name, config.sha256, "here", folder, config, _by_weights(), frozenset())


def _traced(
    name: str,
    sha256: str,
    standing: Standing,
    folder: Path,
    config: ZooConfig,
    find: Callable[[str], uri.Entry | None],
    below: frozenset[str],
) -> Ancestor:
    below |= {sha256}  # a folder that names itself as an ancestor is a forgery; it shall not keep us forever
    parents = tuple(_parent(parent, find, below) for parent in config.parents if parent.sha256 not in below)
    return Ancestor(name, sha256, standing, folder, config, parents)


def _parent(parent: Parent, find: Callable[[str], uri.Entry | None], below: frozenset[str]) -> Ancestor:
    try:
        folder = uri.resolve(parent.name)
        config = read_config(folder)
    except ValueError:
        lost: Standing = "missing"
    else:
        if config.sha256 == parent.sha256:
            return _traced(parent.name, parent.sha256, "here", folder, config, find, below)
        lost = "changed"
    entry = find(parent.sha256)
    if entry is None or entry.config is None:
        return Ancestor(parent.name, parent.sha256, lost)
    return _traced(parent.name, parent.sha256, "moved", entry.folder, entry.config, find, below)


def _by_weights() -> Callable[[str], uri.Entry | None]:
    """Finds the model with given weights; the folders are looked through once, and only if one is asked for."""
    known: dict[str, uri.Entry] | None = None

    def find(sha256: str) -> uri.Entry | None:
        nonlocal known
        if known is None:
            known = {entry.config.sha256: entry for entry in (*uri.shipped(), *uri.entries()) if entry.config}
        return known.get(sha256)

    return find
