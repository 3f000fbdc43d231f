"""Rotary position embeddings on interleaved pairs (arXiv 2104.09864), the layout of all of Kyutai's models."""

from functools import cache

import torch
from torch import Tensor


def rotary_angles(positions: Tensor, head_dim: int, max_period: float = 10_000.0) -> Tensor:
    """Cosine and sine of each position's rotations: [B, T] -> float32 [B, 1, T, head_dim / 2, 2].

    Angles are formed in float64: after a day of 25 Hz frames a float32 angle is off by a tenth of a radian.
    """
    speeds = _speeds if torch.compiler.is_compiling() else _known_speeds  # a compiler cannot look into caches
    angles = positions[:, None, :, None] * speeds(head_dim, max_period, positions.device)
    return torch.stack([angles.cos(), angles.sin()], dim=-1).float()


def _speeds(head_dim: int, max_period: float, device: torch.device) -> Tensor:
    """Radians that each pair turns from one position to the next, [head_dim / 2]."""
    exact = torch.float32 if device.type == "mps" else torch.float64
    return torch.pow(max_period, torch.arange(0, head_dim, 2, device=device, dtype=exact) / -head_dim)


_known_speeds = cache(_speeds)


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Rotate the pairs (x[2i], x[2i + 1]) of [..., B, H, T, head_dim]; computed in float32, returned in x's dtype."""
    pairs = x.float().view(*x.shape[:-1], -1, 2)
    if torch.compiler.is_compiling():  # the compiler fuses real arithmetic, and knows no complex numbers
        (even, odd), (cos, sin) = pairs.unbind(-1), angles.unbind(-1)
        rotated = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
    else:  # one pass over memory, with the same bits
        rotated = torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(angles))
    return rotated.flatten(-2).type_as(x)
