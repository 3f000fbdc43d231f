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

_SHORT = 512  # slots; a chunk sees a ring of so few as a whole faster than it finds out which are in use


@dataclass(kw_only=True)
class KeyValueState(State):
    """A ring of past keys and values, each [B, H, capacity, head_dim]; the transformer knows their positions."""

    keys: Tensor
    values: Tensor

    def append(
        self, keys: Tensor, values: Tensor, slots: tuple[Tensor, Tensor], num_keys: int
    ) -> tuple[Tensor, Tensor]:
        """Write a chunk [B, T, H, head_dim] at its streams and slots; returns the ring's first ``num_keys`` slots.

        Paused rows are written too: they overwrite only what has left their window, and write it again when they go on.
        """
        streams, places = slots
        # not scatter_: a compiler would make it a copy of the whole ring, and another one back
        self.keys[streams, :, places] = keys.type_as(self.keys)  # autocast: the ring has the dtype of the weights
        self.values[streams, :, places] = values.type_as(self.values)
        return self.keys.narrow(2, 0, num_keys), self.values.narrow(2, 0, num_keys)


@dataclass
class Window:
    """Who sees whom in one chunk: made once, used by all layers.

    Args:
        angles: rotations of the chunk's positions.
        mask: bool [B, 1, T, keys], or None where plain causality says the same (flash kernels then run). For steps on a
            CPU float32, 0 or minus infinity: it would be made of the other in each layer.
        slots: where the ring takes the chunk's keys: streams int64 [B, 1], their slots [B, T]; None without a state.
        num_keys: how much of the ring there is to see.
    """

    angles: Tensor
    mask: Tensor | None = None
    slots: tuple[Tensor, Tensor] | None = None
    num_keys: int = 0

    @classmethod
    def offline(cls, positions: Tensor, context: int, angles: Tensor) -> "Window":
        """The chunk is all there is; positions [B, T]."""
        if positions.shape[1] <= context:
            return cls(angles)
        ages = positions.flip(1)
        return cls(angles, _visible(ages, ages, context, positions[:, -1:]))

    @classmethod
    def ring(cls, positions: Tensor, context: int, angles: Tensor, capacity: int) -> "Window":
        """The chunk continues a stream whose last ``capacity`` positions are in a ring; positions [B, T]."""
        T, newest = positions.shape[1], positions[:, -1:]
        slots = torch.arange(len(positions), device=positions.device)[:, None], positions % capacity
        # A CPU can look at the positions and leave out the slots that no stream has reached. A GPU would have to be
        # waited for, and its recorded steps have fixed shapes: there the mask does it. So it does in short rings of
        # several streams: how far the others are would show in the last bit of each.
        on_cpu = positions.device.type == "cpu" and not torch.compiler.is_compiling()
        num_keys = capacity
        if on_cpu and (positions.shape == (1, 1) or capacity > _SHORT):
            reached = [position + 1 for position in newest[:, 0].tolist()]
            num_keys = min(max(reached), capacity)
            # all streams start here, or all that they have seen is theirs to see
            if num_keys <= context and (num_keys == T or (T == 1 and num_keys <= min(reached))):
                return cls(angles, None, slots, num_keys)
        ages = (newest - torch.arange(num_keys, device=positions.device)) % capacity  # positions before the newest
        mask = _visible(newest - positions, ages, context, newest)
        if positions.device.type == "cpu":
            mask = torch.where(mask, 0.0, -torch.inf)
        return cls(angles, mask, slots, num_keys)


def _visible(queries: Tensor, keys: Tensor, context: int, oldest: Tensor) -> Tensor:
    """Which keys [B, S] each query [B, T] sees, by their ages: bool [B, 1, T, S]; older ones than [B, 1] are none."""
    queries, keys = queries[:, None, :, None], keys[:, None, None]
    return (keys >= queries) & (keys <= (queries + (context - 1)).minimum(oldest[:, None, None]))


class Attention(nn.Module):
    """Multi-head self-attention without biases; queries, keys and values come from one product.

    Args:
        dim: width.
        num_heads: heads of dim / num_heads channels.
        num_kv_heads: heads of keys and values, each seen by num_heads / num_kv_heads heads of queries (grouped-query
            attention, arXiv 2305.13245); None: as many as of queries.
        linear: makes the products.
    """

    def __init__(self, dim: int, *, num_heads: int, num_kv_heads: int | None = None, linear: type[Linear] = Linear):
        super().__init__()
        if dim % num_heads or dim // num_heads % 2:
            raise ValueError(
                f"dim ({dim}) must be divisible by num_heads ({num_heads}), and heads must have an even width: "
                "positions rotate pairs of channels"
            )
        self.num_heads, self.num_kv_heads = num_heads, num_kv_heads or num_heads
        if num_heads % self.num_kv_heads:
            raise ValueError(f"num_heads ({num_heads}) must be divisible by num_kv_heads ({num_kv_heads})")
        self.head_dim = dim // num_heads
        # rows: queries, keys, values, each head by head
        self.in_proj = linear(dim, (num_heads + 2 * self.num_kv_heads) * self.head_dim, bias=False)
        self.out_proj = linear(dim, dim, bias=False)

    def init_state(self, batch_size: int, capacity: int, like: Tensor) -> KeyValueState:
        """An empty ring of ``capacity`` positions, of the dtype and on the device of a weight."""
        shape = batch_size, self.num_kv_heads, capacity, self.head_dim
        # not like.new_zeros: of a sharded weight, that is sharded
        keys, values = (torch.zeros(shape, dtype=like.dtype, device=like.device) for _ in range(2))
        return KeyValueState(keys=keys, values=values)

    def forward(self, x: Tensor, window: Window, state: KeyValueState | None = None) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        B, T, _ = x.shape
        heads = self.in_proj(x).view(B, T, -1, self.head_dim)
        turning, values = heads.split([self.num_heads + self.num_kv_heads, self.num_kv_heads], dim=2)
        turned = rotate(turning.transpose(1, 2), window.angles)  # [B, H, T, head_dim]
        queries, keys = turned.split([self.num_heads, self.num_kv_heads], dim=1)
        if state is None:
            values = values.transpose(1, 2)
        else:
            assert window.slots is not None
            keys, values = state.append(keys.transpose(1, 2), values, window.slots, window.num_keys)
        y = self._attend(queries, keys, values, window.mask)
        return self.out_proj(y.transpose(1, 2).reshape(B, T, -1))  # [B, H, T, head_dim] -> [B, T, D]

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        B, H, T, _ = queries.shape
        if mask is not None and mask.is_floating_point():
            mask = mask.type_as(queries)  # PyTorch would read it as such
        group, causal = H // self.num_kv_heads, mask is None and T > 1
        if group == 1 or causal:
            return F.scaled_dot_product_attention(queries, keys, values, mask, is_causal=causal, enable_gqa=group > 1)
        # Few kernels else know groups: a group's queries stand one after another in time, and no key is copied.
        queries = queries.reshape(B, -1, group * T, self.head_dim)
        mask = mask if mask is None or T == 1 else mask.repeat(1, 1, group, 1)
        return F.scaled_dot_product_attention(queries, keys, values, mask).reshape(B, H, T, -1)
