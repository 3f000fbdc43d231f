"""Chance without a generator: a number between 0 and 1 for each stream, frame and code.

It is computed from the stream's seed and the place alone. Streams can start, stop and share a batch as they like, and
none changes another's; nothing has to be drawn beforehand, so a stream may last for ever; and a step can be recorded in
a CUDA graph.
"""

import torch
from torch import Tensor

_PLACES = 1024  # of one frame, at most
# SplitMix64 (Steele et al., OOPSLA 2014), in two's complement
_GAMMA, _MIX = 0x9E3779B97F4A7C15 - 2**64, (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)


def uniform_at(seeds: Tensor, frames: Tensor, count: int) -> Tensor:
    """Uniform numbers in [0, 1), float32 [B, count], for int64 seeds [B] and frames [B]; more begin the same."""
    places = frames[:, None] * _PLACES + torch.arange(count, device=seeds.device)
    bits = _mix(_mix(seeds[:, None]) + places * _GAMMA)
    return _shifted(bits, 40).float() / 2**24


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shifted(x, 30)) * _MIX[0]
    x = (x ^ _shifted(x, 27)) * _MIX[1]
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, places: int) -> Tensor:
    """To the right; what comes in at the left is zero."""
    return (x >> places) & ((1 << (64 - places)) - 1)
