"""The Hugging Face hub, through its own client: what a repository holds, and files of it with their content checked.

The client resumes, caches, takes ``HF_TOKEN``, ``HF_ENDPOINT`` and ``HF_HUB_OFFLINE``, but never looks at what it got;
here each file is compared with a sum before anything reads it.
"""

import errno
import fnmatch
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_OFFLINE_HELP = (
    "Offline you can use what is here (`python -m moshi_zoo list`), train (`python -m moshi_zoo fit --config "
    "recipes/nano/mimi.yaml`), or `import` files that you bring"
)


class NoNetworkError(ValueError):
    """The hub cannot be reached."""


@dataclass(frozen=True)
class HubFile:
    """A file of a repository.

    Args:
        name: in the repository.
        size: in bytes; None: unknown, as the hub was not asked.
        sha256: that the hub declares, for large files.
        git_sha1: that the hub declares, for all files.
    """

    name: str
    size: int | None = None
    sha256: str = ""
    git_sha1: str = ""


@dataclass(frozen=True)
class Listing:
    """A repository at one commit.

    Args:
        repository: ``owner/name``.
        commit: its full name; of an offline listing, that of the cache.
        files: by name.
        licence: that its card names, as Hugging Face calls it.
        offline: whether it is only what the cache holds.
    """

    repository: str
    commit: str
    files: Mapping[str, HubFile]
    licence: str = ""
    offline: bool = False

    def matching(self, pattern: str) -> list[HubFile]:
        """Files by name or pattern, in order."""
        return [file for name, file in sorted(self.files.items()) if fnmatch.fnmatchcase(name, pattern)]


def look(repository: str, revision: str) -> Listing:
    """What a repository holds; without a network, what the cache has of it.

    Raises:
        ValueError: if there is no such repository or revision, or it may not be read.
        NoNetworkError: if the hub cannot be reached and nothing of it is in the cache.
    """
    try:
        with explained(repository, revision):
            info = client().model_info(repository, revision=revision, files_metadata=True)
    except NoNetworkError as error:
        return _look_into_cache(repository, revision, error)
    files = {
        file.rfilename: HubFile(file.rfilename, file.size, file.lfs.sha256 if file.lfs else "", file.blob_id or "")
        for file in info.siblings or ()
    }
    licence = info.card_data.license if info.card_data else None
    return Listing(repository, info.sha or revision, files, licence if isinstance(licence, str) else "")


def missing_bytes(listing: Listing, files: list[HubFile]) -> int:
    """How much of some files is still to be downloaded."""
    if listing.offline:
        return 0
    return sum(file.size or 0 for file in files if _cached(listing, file) is None)


def fetch(listing: Listing, file: HubFile, *, sha256: str = "") -> Path:
    """Download a file, or take it from the cache, and check what it holds.

    Args:
        listing: of its repository.
        file: of the listing.
        sha256: that it must have; empty: what the hub declares.

    Returns:
        Its path in the cache, where it must not be changed.

    Raises:
        ValueError: if it cannot be had, or its content is another; it is then removed from the cache.
    """
    if sha256 and file.sha256 and sha256 != file.sha256:
        raise ValueError(
            f"{listing.repository}: {file.name} has sha256 {file.sha256} on the hub, but the catalogue says {sha256}: "
            "it is another file than the one that was catalogued"
        )
    with explained(listing.repository, listing.commit):
        path = Path(
            client().hf_hub_download(
                listing.repository, file.name, revision=listing.commit, local_files_only=listing.offline
            )
        )
    if sha256 or file.sha256:
        kind, expected, found = "sha256", sha256 or file.sha256, _digest(path, "sha256")
    elif file.git_sha1:
        kind, expected, found = "git sha1", file.git_sha1, _digest(path, "sha1", b"blob %d\0" % path.stat().st_size)
    else:
        return path  # from the cache, offline, and nobody knows its sum
    if found != expected:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise ValueError(
            f"{listing.repository}: {file.name} has {kind} {found} instead of {expected}: it was damaged on its way "
            "and has been deleted; try again"
        )
    return path


def client() -> "HfApi":
    """The hub's client, as the environment says."""
    from huggingface_hub import HfApi

    return HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, library_name="moshi_zoo")


@contextmanager
def explained(repository: str, revision: str) -> Iterator[None]:
    """The client's errors as ValueErrors of one line that says what to do.

    Args:
        repository: that is worked with.
        revision: of it.
    """
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise ValueError(
            f"{repository} is gated: accept its terms on {_page(repository)}, then set HF_TOKEN to a token of yours"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ValueError(f"{repository} has no revision {revision!r}") from error
    except errors.RepositoryNotFoundError as error:
        raise ValueError(
            f"{_page(repository)} does not exist, or is private: is the name right? A private one needs HF_TOKEN"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise NoNetworkError(
            f"{repository}: a file is not in the cache, and the hub cannot be reached. {_OFFLINE_HELP}"
        ) from error
    except errors.EntryNotFoundError as error:
        raise ValueError(f"{repository} has no such file at {revision}: {_first_line(error)}") from error
    except errors.OfflineModeIsEnabled as error:
        raise NoNetworkError(f"{repository} is not in the cache, and HF_HUB_OFFLINE is set. {_OFFLINE_HELP}") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no status"
        if status == 401:
            raise ValueError(f"the hub refused to let you read {repository} (401): is HF_TOKEN right?") from error
        raise ValueError(f"the hub answered {status} for {repository}: {_first_line(error)}") from error
    except errors.HFValidationError as error:
        raise ValueError(f"{repository!r} is no name of a repository: {_first_line(error)}") from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ValueError(f"{repository}: the disk is full; HF_HOME says where the cache is") from error
        if error.errno is not None:
            raise
        raise ValueError(f"{repository}: the transfer failed: {_first_line(error)}. Try again") from error
    except Exception as error:
        # an error of the client's HTTP library, whose name changes with its version
        if type(error).__module__.partition(".")[0] not in ("httpx", "httpx2"):
            raise
        raise NoNetworkError(
            f"the hub ({_page('')}) cannot be reached: {_first_line(error)}. {_OFFLINE_HELP}"
        ) from error


def _cached(listing: Listing, file: HubFile) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(listing.repository, file.name, revision=listing.commit)
    return Path(found) if isinstance(found, str) else None


def _look_into_cache(repository: str, revision: str, error: NoNetworkError) -> Listing:
    from huggingface_hub import CacheNotFound, constants, scan_cache_dir

    try:
        repositories = scan_cache_dir(constants.HF_HUB_CACHE).repos
        cached = [found for repo in repositories if repo.repo_id == repository for found in repo.revisions]
    except CacheNotFound:
        cached = []
    # what is asked for by a branch was fetched by its commit: the latest one then counts
    cached.sort(key=lambda found: found.last_modified)
    fitting = [found for found in cached if revision == found.commit_hash or revision in found.refs]
    if not fitting and revision == "main":
        fitting = cached
    if not fitting:
        raise error
    names = [file.file_name for file in fitting[-1].files]
    return Listing(repository, fitting[-1].commit_hash, {name: HubFile(name) for name in names}, offline=True)


def _digest(path: Path, algorithm: str, before: bytes = b"") -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, before)).hexdigest()


def _page(repository: str) -> str:
    from huggingface_hub import constants

    return f"{os.environ.get('HF_ENDPOINT') or constants.ENDPOINT}/{repository}".rstrip("/")


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
