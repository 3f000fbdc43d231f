"""From the hub to a zoo folder: fetched, compared with its sums, converted once, and put into place as a whole.

What breaks off on the way leaves whole files in the hub's cache, from which the next attempt goes on, and nothing in
``checkpoints/``.
"""

import hashlib
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from moshi_zoo.zoo import catalogue, convert, folder, hub
from moshi_zoo.zoo.catalogue import CatalogueEntry
from moshi_zoo.zoo.config import Parent, read_config
from moshi_zoo.zoo.repository import guess
from moshi_zoo.zoo.uri import CHECKPOINTS

_REPOSITORY = re.compile(r"hf://([\w-][\w.-]*/[\w-][\w.-]*?)(?:@([\w./-]+))?")
_SPARE = 100_000_000  # bytes of disk that stay free

Say = Callable[[str], None]


def download(
    entry: CatalogueEntry, *, revision: str | None = None, to: Path | None = None, say: Say | None = None
) -> Path:
    """Fetch a model of the catalogue, and its codec if it has one.

    Args:
        entry: of the catalogue.
        revision: commit, branch or tag; None: that of the catalogue, whose sums then count as well.
        to: the zoo folder to write; None: ``checkpoints/NAME``.
        say: takes lines about what is done; None: they go to the standard error output.

    Returns:
        The zoo folder.

    Raises:
        ValueError: if it cannot be had, is damaged, does not fit on the disk, or something else is in its place.
    """
    say = say or _to_stderr
    if entry.ships:
        raise ValueError(f"{entry.name} ships with the repository: there is nothing to download")
    target = to or CHECKPOINTS / entry.name
    if revision and revision != entry.revision:
        entry = replace(entry, revision=revision, files=tuple(replace(f, sha256="", bytes=0) for f in entry.files))
    with _alone(target):
        listings = _look(entry)
        source = f"download {entry.repository}@{listings[entry.repository].commit}"
        if _is_there(target, source):
            say(f"{target} is here already, and as it should be")
            return target
        parents = _with_codec(entry, say)
        say(f"{entry.name}: {entry.repository}, licence {entry.licence}")
        chosen = _choose(entry, listings)
        _check_space(entry, chosen, target)
        with tempfile.TemporaryDirectory() as scratch:
            files = Path(scratch)
            for part in chosen:
                path = hub.fetch(part.listing, part.file, sha256=part.sha256)
                (files / part.file.name).symlink_to(path.resolve())
            say("all files have the sums that they should; converting")
            _install(entry, files, target, source, parents)
    return target


def on_demand(uri: str, *, revision: str | None = None, to: Path | None = None, say: Say | None = None) -> Path:
    """The zoo folder of any repository on the hub that holds a model we can read; fetched unless it is here.

    Args:
        uri: ``hf://owner/name``, with ``@revision`` if that shall not be the main branch.
        revision: the same.
        to: the zoo folder to write; None: ``checkpoints/owner/name``, or that of the catalogue if it is in there.
        say: as for :func:`download`.

    Raises:
        ValueError: as for :func:`download`; and if there is nothing that we can read.
    """
    match = _REPOSITORY.fullmatch(uri)
    if match is None or ".." in uri:
        raise ValueError(f"{uri!r} is no repository on the hub: write hf://owner/name or hf://owner/name@revision")
    repository, revision = match[1], match[2] or revision
    known = catalogue.of_repository(repository)
    name = known.name if known else repository
    if revision:
        name += "@" + revision.replace("/", "-")
    target = to or CHECKPOINTS / name
    if to is None and folder.is_zoo_folder(target):
        return target
    return download(known or guess(repository, revision or "main"), revision=revision, to=target, say=say)


@dataclass(frozen=True)
class _Part:
    """A file to fetch: where it is, and what it must be."""

    listing: hub.Listing
    file: hub.HubFile
    sha256: str


def _look(entry: CatalogueEntry) -> dict[str, hub.Listing]:
    """All repositories that an entry has files in."""
    others = {file.repository for file in entry.files if file.repository}
    listings = {entry.repository: hub.look(entry.repository, entry.revision)}
    return listings | {repository: hub.look(repository, "main") for repository in others}


def _choose(entry: CatalogueEntry, listings: dict[str, hub.Listing]) -> list[_Part]:
    parts = []
    for file in entry.files:
        listing = listings[file.repository or entry.repository]
        found = listing.matching(file.name)
        if not found and not file.is_pattern:
            where = (
                "the cache, and there is no network,"
                if listing.offline
                else f"{listing.repository} at {listing.commit}"
            )
            raise ValueError(f"{where} has no file {file.name}")
        parts += [_Part(listing, one, file.sha256) for one in found if "/" not in one.name]
    if not any(part.file.name.endswith(".safetensors") for part in parts):
        raise ValueError(f"{entry.repository} has no weights in safetensors files")
    return parts


def _with_codec(entry: CatalogueEntry, say: Say) -> list[Parent]:
    if not entry.codec:
        return []
    codec = CHECKPOINTS / entry.codec
    if not folder.is_zoo_folder(codec):
        say(f"{entry.name} speaks the codes of {entry.codec}, which comes along")
        download(catalogue.find(entry.codec), say=say)
    return [Parent(entry.codec, read_config(codec).sha256)]


def _check_space(entry: CatalogueEntry, chosen: list[_Part], target: Path) -> None:
    from huggingface_hub import constants

    missing = sum(hub.missing_bytes(part.listing, [part.file]) for part in chosen)
    weights = [part.file for part in chosen if part.file.name.endswith(".safetensors")]
    # int8 becomes bfloat16
    written = sum((file.size or 0) * (2 if ".q8." in file.name else 1) for file in weights)
    cache, place = _existing(Path(constants.HF_HUB_CACHE)), _existing(target.absolute())
    together = cache.stat().st_dev == place.stat().st_dev
    for where, needed in [(cache, missing + written * together), (place, written + missing * together)]:
        free = shutil.disk_usage(where).free
        if needed + _SPARE > free:
            raise ValueError(
                f"{entry.name} needs {needed / 1e9:.1f} GB ({missing / 1e9:.1f} to download, {written / 1e9:.1f} as a "
                f"zoo folder), but {where} has {free / 1e9:.1f} GB free; HF_HOME moves the cache, --to the folder"
            )


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())


def _is_there(target: Path, source: str) -> bool:
    """Whether it is; something else in its place is refused."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    if not folder.is_zoo_folder(target):
        raise ValueError(f"{target} exists and is no zoo folder: --to names another")
    stage = read_config(target).stage
    if stage != source:
        raise ValueError(f"{target} is another model (made by: {stage or 'unknown'}): --to names another folder")
    folder.verify(target)
    return True


def _install(entry: CatalogueEntry, files: Path, target: Path, source: str, parents: list[Parent]) -> None:
    if entry.format == "zoo":
        _install_zoo_folder(files, target)
        return
    spec, tensors = convert.open_weights(files, entry.format, preset=entry.preset)
    if spec["component"] != entry.component:
        raise ValueError(f"{entry.repository} holds a {spec['component']}, not a {entry.component}")
    tokenizer = convert.tokenizer_beside(files)
    folder.save(target, spec, tensors, stage=source, parents=parents, licence=entry.licence, tokenizer=tokenizer)


def _install_zoo_folder(files: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
        new = Path(scratch) / "new"
        shutil.copytree(files, new)  # what the links point to
        folder.verify(new)
        folder.check(new)
        new.rename(target)


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """One process of a machine downloads to a folder at a time; the others wait, and then find it there."""
    from huggingface_hub import constants
    from huggingface_hub.utils import WeakFileLock

    locks = Path(constants.HF_HUB_CACHE) / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(str(target.absolute()).encode()).hexdigest()[:16]
    with WeakFileLock(locks / f"moshi-zoo-{name}.lock"):
        yield


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
