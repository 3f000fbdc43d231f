"""Causal self-attention over a sliding window, offline and streaming.

The window is exact for every chunk size: query i sees the keys 0 <= i - j < context. The cache holds ``context - 1``
past keys *and* room for a chunk: a cache of just ``context`` keys, as the reference has it, overwrites keys that the
first queries of a chunk still need, and its streams drift once the window is full (moshi issue 145).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moshi_zoo.modules.linear import Linear
from moshi_zoo.modules.rope import rotate
from moshi_zoo.modules.streaming import State


@dataclass(kw_only=True)
class KeyValueState(State):
    """A ring of past keys and values, each [B, H, capacity, head_dim]; the transformer knows their positions."""

    keys: Tensor
    values: Tensor

    def append(self, keys: Tensor, values: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Write a chunk [B, H, T, head_dim] at its slots [B, T]; returns the whole ring.

        Paused rows are written too: they overwrite only what has left their window, and write it again when they go on.
        """
        index = slots[:, None, :, None].expand_as(keys)
        self.keys.scatter_(2, index, keys)
        self.values.scatter_(2, index, values)
        return self.keys, self.values


@dataclass
class Window:
    """Who sees whom in one chunk: made once, used by all layers.

    Args:
        angles: rotations of the chunk's positions.
        mask: bool [B, 1, T, keys], or None where plain causality says the same (flash kernels then run).
        slots: int64 [B, T], where the ring takes the chunk's keys; None without a state.
    """

    angles: tuple[Tensor, Tensor]
    mask: Tensor | None = None
    slots: Tensor | None = None

    @classmethod
    def offline(cls, positions: Tensor, context: int, angles: tuple[Tensor, Tensor]) -> "Window":
        """The chunk is all there is; positions [B, T]."""
        if positions.shape[1] <= context:
            return cls(angles)
        return cls(angles, _visible(positions, positions, context))

    @classmethod
    def ring(cls, positions: Tensor, context: int, angles: tuple[Tensor, Tensor], capacity: int) -> "Window":
        """The chunk continues a stream whose last ``capacity`` positions are in a ring; positions [B, T]."""
        newest = positions[:, -1:]
        key_positions = newest - (newest - torch.arange(capacity, device=positions.device)) % capacity
        return cls(angles, _visible(positions, key_positions, context), positions % capacity)


def _visible(queries: Tensor, keys: Tensor, context: int) -> Tensor:
    distance = queries[:, :, None] - keys[:, None, :]  # [B, T, keys]
    return ((distance >= 0) & (distance < context) & (keys >= 0)[:, None])[:, None]  # below 0: a slot never written


class Attention(nn.Module):
    """Multi-head self-attention without biases; queries, keys and values come from one product.

    Args:
        dim: width.
        num_heads: heads of dim / num_heads channels.
    """

    def __init__(self, dim: int, *, num_heads: int):
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"dim ({dim}) must be divisible by num_heads ({num_heads})")
        self.num_heads = num_heads
        self.in_proj = Linear(dim, 3 * dim, bias=False)  # rows: queries, keys, values, each head by head
        self.out_proj = Linear(dim, dim, bias=False)

    def init_state(self, batch_size: int, capacity: int) -> KeyValueState:
        """An empty ring of ``capacity`` positions."""
        shape = batch_size, self.num_heads, capacity, self.out_proj.in_features // self.num_heads
        weight = self.out_proj.weight
        return KeyValueState(keys=weight.new_zeros(shape), values=weight.new_zeros(shape))

    def forward(self, x: Tensor, window: Window, state: KeyValueState | None = None) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        B, T, _ = x.shape
        qkv = self.in_proj(x).view(B, T, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)  # [3, B, H, T, head_dim]
        queries, keys = rotate(qkv[:2], window.angles)
        values = qkv[2]
        if state is not None:
            assert window.slots is not None
            keys, values = state.append(keys, values, window.slots)
        y = F.scaled_dot_product_attention(
            queries, keys, values, attn_mask=window.mask, is_causal=window.mask is None and T > 1
        )
        return self.out_proj(y.transpose(1, 2).flatten(2))  # [B, H, T, head_dim] -> [B, T, D]
