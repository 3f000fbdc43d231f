"""Things that are made at first use and kept: folders in the cache, whole or not there."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def cache_folder() -> Path:
    """Where things are kept: ``$MOSHI_ZOO_CACHE``, else ``~/.cache/moshi_zoo``."""
    return Path(os.environ.get("MOSHI_ZOO_CACHE") or Path.home() / ".cache" / "moshi_zoo")


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Make a folder unless it is there already.

    Several processes may call this at once: each works in a folder of its own, and the first to finish wins. The
    content must therefore be the same whoever makes it: the folder's name says what went into it.

    Args:
        folder: The result; its parents are made.
        make: Fills an empty folder.
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        make(draft)
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was faster, with the same content
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder
