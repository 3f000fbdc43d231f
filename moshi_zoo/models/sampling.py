"""Drawing a token from logits: temperature, the k likeliest, the nucleus.

Chance comes in as one number between 0 and 1 a row, drawn beforehand. A row's tokens then depend on its own seed alone,
on no neighbour in the batch and on no device, and a step can be recorded in a CUDA graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_ALL = 2**31  # more tokens than any vocabulary has


@dataclass(frozen=True)
class Sampler:
    """How to draw.

    Args:
        temperature: divides the logits; 0 takes the likeliest token.
        top_k: draw among the k likeliest tokens; 0: among all.
        top_p: draw among the fewest tokens that have this probability together (the nucleus, arXiv 1904.09751); of
            those that ``top_k`` leaves.

    Raises:
        ValueError: if a value is out of range.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self):
        if not self.temperature >= 0:
            raise ValueError(f"temperature ({self.temperature}) must not be negative; 0 takes the likeliest token")
        if self.top_k < 0:
            raise ValueError(f"top_k ({self.top_k}) must not be negative; 0 draws among all tokens")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p ({self.top_p}) must be above 0 and at most 1; 1 draws among all tokens")

    def __call__(self, logits: Tensor, chance: Tensor) -> Tensor:
        """Logits [..., V] and uniform numbers in [0, 1) [...] -> tokens int64 [...]."""
        if self.temperature == 0:
            return logits.argmax(-1)
        scores, tokens = logits.float() / self.temperature, None
        if self.top_k or self.top_p < 1:
            scores, tokens = scores.topk(min(self.top_k or logits.shape[-1], logits.shape[-1]))
        probabilities = scores.softmax(-1)
        # float64: over a large vocabulary a float32 sum loses the unlikely tokens
        cumulative = probabilities.cumsum(-1, dtype=torch.float64)
        total = cumulative[..., -1:]
        if self.top_p < 1:
            last = (cumulative - probabilities < self.top_p).sum(-1, keepdim=True) - 1
            total = cumulative.gather(-1, last)
        choice = torch.searchsorted(cumulative, chance[..., None].double() * total, right=True)
        choice = choice.clamp(max=logits.shape[-1] - 1 if tokens is None else tokens.shape[-1] - 1)
        return (choice if tokens is None else tokens.gather(-1, choice))[..., 0]


class RowSampler:
    """Draws in each row of a batch by its own temperature and k; no row depends on another.

    Args:
        batch_size: rows B; they take the likeliest token until :meth:`set` says otherwise.
        device: where logits come from.
    """

    def __init__(self, batch_size: int, device: torch.device | str = "cpu"):
        self._temperature = torch.ones(batch_size, 1, device=device)
        self._last = torch.zeros(batch_size, 1, dtype=torch.int64, device=device)  # k - 1
        self._most = [1] * batch_size  # the same as numbers of Python's, so that no device is waited for

    @property
    def most(self) -> int:
        """The largest k of any row."""
        return max(self._most)

    def set(self, row: int, sampler: Sampler) -> None:
        """Draw in this row as the sampler would.

        Raises:
            ValueError: if it has a nucleus, which rows have not.
        """
        if sampler.top_p < 1:
            raise ValueError(f"top_p ({sampler.top_p}) is not for rows of a batch: give temperature and top_k")
        k = 1 if sampler.temperature == 0 else sampler.top_k or _ALL
        self._temperature[row] = sampler.temperature or 1.0
        self._last[row] = k - 1
        self._most[row] = k

    def __call__(self, logits: Tensor, chance: Tensor, width: int | None = None) -> Tensor:
        """Logits [B, V] and uniform numbers in [0, 1) [B] -> tokens int64 [B].

        Args:
            logits: of all tokens.
            chance: of the rows.
            width: how many of the likeliest tokens to look at, no fewer than the largest k; None: as many as that.
        """
        count = min(self.most if width is None else width, logits.shape[-1])
        scores, tokens = (logits.float() / self._temperature).topk(count)
        last = self._last.clamp(max=count - 1)
        # sums from the left: what a row's neighbours have beyond its own k does not enter
        cumulative = (scores - scores[:, :1]).exp().cumsum(-1, dtype=torch.float64)
        sought = cumulative.gather(-1, last).mul_(chance[:, None])
        choice = torch.searchsorted(cumulative, sought, right=True).minimum(last)
        return tokens.gather(-1, choice)[:, 0]


def uniform_rows(seeds: Sequence[int], length: int) -> Tensor:
    """Uniform numbers in [0, 1), float32 [rows, length]: each row from its own seed; a longer one begins the same."""
    rows = [torch.rand(length, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(rows)
