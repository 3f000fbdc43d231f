"""A step of all conversations as one CUDA graph: a thousand small kernels that no longer wait for Python.

All it reads and writes stays where it was when it was recorded: states, masks, and what is heard are changed in place.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_WARM_UP = 3  # runs before a recording: libraries choose their kernels, and take their memory


@dataclass(frozen=True)
class Work:
    """What the device makes of a step: text int64 [B], codes int64 [B, K, 1], sound [B, S] where there is a codec.

    A replay overwrites it.
    """

    text: Tensor
    codes: Tensor
    wav: Tensor | None


class Recorded:
    """Does the same work again and again.

    Args:
        work: on the device alone: it neither looks at values nor makes new ones on the CPU.
        device: where it is done; on a CPU there is nothing to record, and the work is done as it is.
    """

    def __init__(self, work: Callable[[], Work], device: torch.device):
        self._work, self._device = work, device
        self._key: object = None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._made: Work | None = None

    def prepare(self, key: object) -> None:
        """Record, if that has not been done yet, or if anything has changed that shapes depend on.

        The work is done a few times for that: nobody may take part in it.

        Args:
            key: what shapes depend on.
        """
        if self._device.type != "cuda" or key == self._key:
            return
        self._graph = self._made = None  # gives their memory back
        stream = torch.cuda.Stream(self._device)
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                self._work()
        torch.cuda.current_stream(self._device).wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._made = self._work()
        self._key = key

    def __call__(self) -> Work:
        """Do the work."""
        if self._graph is None:
            return self._work()
        self._graph.replay()
        assert self._made is not None
        return self._made
