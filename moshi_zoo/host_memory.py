"""How a process on Linux comes by its memory while it trains on a CPU.

glibc keeps what is freed in its heap, for itself. Gradients stay, activations come and go, and all have sizes of their
own: what the one leaves seldom fits the other, and the heap grows by a tenth. And memory comes in pages of 4 KB, each
of them cleared when it is first written to: a twentieth of a step of a large model.
"""

import ctypes
import os
import sys

_MMAP_THRESHOLD, _LARGE = -3, 2**24  # of mallopt; bytes from which a tensor has memory of its own


def prepare_to_train() -> None:
    """Large pages, and a heap without large tensors. To be called before PyTorch is imported, which looks only once.

    What the environment says of either stays as it is.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if not {"MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD"} & os.environ.keys():
        _glibc("mallopt", _MMAP_THRESHOLD, _LARGE)


def give_back_holes() -> None:
    """Let others have what the heap holds and nobody uses; takes some milliseconds for a gigabyte."""
    _glibc("malloc_trim", 0)


def _glibc(function: str, *arguments: int) -> None:
    if sys.platform != "linux":
        return
    call = getattr(ctypes.CDLL(None), function, None)  # other libraries have none of these
    if call is not None:
        call(*arguments)
