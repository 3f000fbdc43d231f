"""The one way to torchaudio, which not every installation can import.

Its wheel has a compiled extension for one release of CUDA, and the import fails where torch was built for another one
or for none. All that we use (WavLM, resampling) is plain Python: it works without the extension.
"""

import functools
import importlib
import importlib.util
import logging
import sys
from types import ModuleType
from typing import Any

log = logging.getLogger(__name__)

_EXTENSION = "torchaudio._extension"


@functools.cache
def load_torchaudio() -> ModuleType:
    """Import torchaudio, if need be without its compiled extension (then ``forced_align`` is missing, and says so).

    Raises:
        ValueError: if it is not installed, or cannot be imported at all.
    """
    if importlib.util.find_spec("torchaudio") is None:
        raise ValueError("torchaudio is not installed: `uv sync`, or `pip install torchaudio`")
    try:
        return importlib.import_module("torchaudio")
    except (ImportError, OSError, RuntimeError) as error:
        log.warning("torchaudio's compiled extension does not fit this torch (%s): going on without it", error)
    sys.modules[_EXTENSION] = _without_extension()
    try:
        return importlib.import_module("torchaudio")
    except Exception as error:
        del sys.modules[_EXTENSION]
        raise ValueError(
            f"torchaudio cannot be imported ({error}): install the release that was built for your torch, "
            "see https://pytorch.org/get-started"
        ) from error


def _without_extension() -> ModuleType:
    """What torchaudio takes from its extension when it was built without one."""
    stub: Any = ModuleType(_EXTENSION)
    stub._IS_TORCHAUDIO_EXT_AVAILABLE = False
    stub.fail_if_no_align = _fail_when_called
    return stub


def _fail_when_called(function: Any) -> Any:
    @functools.wraps(function)
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            f"torchaudio's {function.__name__} needs its compiled extension, which does not fit this torch: "
            "install the torchaudio that was built for it"
        )

    return fail
