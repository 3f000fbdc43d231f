"""Drawing a token from logits: temperature, the k likeliest, the nucleus.

Chance comes in as one number between 0 and 1 a row, drawn beforehand. A row's tokens then depend on its own seed alone,
on no neighbour in the batch and on no device, and a step can be recorded in a CUDA graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


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


def uniform_rows(seeds: Sequence[int], length: int) -> Tensor:
    """Uniform numbers in [0, 1), float32 [rows, length]: each row from its own seed; a longer one begins the same."""
    rows = [torch.rand(length, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(rows)
