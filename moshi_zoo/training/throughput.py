"""How fast a language model trains: tokens a second, and the share of the device's arithmetic that they use (MFU)."""

import time
from collections import deque

import torch
from lightning.fabric.utilities.throughput import get_available_flops

_SIDE, _REPEATS = 1024, 5  # of the products that measure an unknown device


class Throughput:
    """The speed of the last steps, with all that comes between them.

    Args:
        flops_per_token: of forward and backward pass.
        peak: floating point operations a second of all devices together.
        steps: how many the mean is taken over.
    """

    def __init__(self, *, flops_per_token: float, peak: float, steps: int = 20):
        self.flops_per_token, self.peak = flops_per_token, peak
        self._steps = deque[tuple[float, int]](maxlen=steps + 1)  # when they ended, and their tokens

    def pause(self) -> None:
        """Forget the steps: something else than training comes."""
        self._steps.clear()

    def add(self, tokens: int) -> dict[str, float]:
        """Count a step that just ended.

        Args:
            tokens: in all processes.

        Returns:
            ``tokens_per_second`` and ``mfu``; nothing after the first step, of which nobody knows when it began.
        """
        self._steps.append((time.perf_counter(), tokens))
        (start, _), *steps = self._steps
        if not steps:
            return {}
        rate = sum(count for _, count in steps) / (steps[-1][0] - start)
        return {"tokens_per_second": rate, "mfu": rate * self.flops_per_token / self.peak}


def training_flops(*, num_weights: int, num_layers: int, dim: int, length: int) -> float:
    """Operations per token of a transformer's forward and backward pass, as PaLM counts them (arXiv 2204.02311, B).

    Args:
        num_weights: in its matrices; a table of embeddings is looked up and does not count.
        num_layers: blocks.
        dim: width of the attention: heads times their channels.
        length: tokens that attend to each other.
    """
    return 6 * num_weights + 12 * num_layers * dim * length


def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a device: as its maker says, or, where Lightning has no figure, as a product shows.

    Args:
        device: one of them.
        dtype: of the matrix products; a CPU is measured in float32, since most only imitate the shorter ones.
    """
    if device.type == "cuda" and (known := get_available_flops(device, dtype)):
        return known
    x = torch.ones(_SIDE, _SIDE, device=device, dtype=torch.float32 if device.type == "cpu" else dtype)
    return 2 * _SIDE**3 / min(_seconds(x) for _ in range(_REPEATS))


def _seconds(x: torch.Tensor) -> float:
    start = time.perf_counter()
    (x @ x)[0, 0].item()  # waits for the device
    return time.perf_counter() - start
