"""The causal transformer shared by the models: pre-norm blocks, rotary positions, sliding window."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from moshi_zoo.modules.attention import Attention, KeyValueState, Window
from moshi_zoo.modules.linear import Linear
from moshi_zoo.modules.norm import LayerScale
from moshi_zoo.modules.rope import rotary_angles
from moshi_zoo.modules.streaming import State


@dataclass(frozen=True)
class TransformerSize:
    """Sizes of a transformer; its width is its owner's.

    Args:
        num_layers: blocks.
        num_heads: attention heads of a block.
        hidden_dim: inner width of the feed-forward layer.
        context: positions a query sees, itself included.
        layer_scale: initial weight of the residual branches.
        max_period: longest period of the rotary positions, over 2 pi.
    """

    num_layers: int
    num_heads: int
    hidden_dim: int
    context: int = 250
    layer_scale: float = 0.01
    max_period: float = 10_000.0


@dataclass(kw_only=True)
class TransformerState(State):
    """Position of the next input, int64 [B], and the layers' rings."""

    position: Tensor
    layers: list[KeyValueState]


class TransformerLayer(nn.Module):
    """x + scale * attention(norm(x)), then x + scale * mlp(norm(x)).

    Args:
        dim: width.
        size: the transformer's sizes.
    """

    def __init__(self, dim: int, size: TransformerSize):
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = Attention(dim, num_heads=size.num_heads)
        self.attention_scale = LayerScale(dim, size.layer_scale)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            Linear(dim, size.hidden_dim, bias=False), nn.GELU(), Linear(size.hidden_dim, dim, bias=False)
        )
        self.mlp_scale = LayerScale(dim, size.layer_scale)

    def forward(self, x: Tensor, window: Window, state: KeyValueState | None = None) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        x = x + self.attention_scale(self.attention(self.attention_norm(x), window, state))
        return x + self.mlp_scale(self.mlp(self.mlp_norm(x)))


class Transformer(nn.Module):
    """A stack of blocks without a final norm (as Mimi's).

    Args:
        dim: width.
        size: everything else.
    """

    def __init__(self, dim: int, size: TransformerSize):
        super().__init__()
        self.size = size
        self.head_dim = dim // size.num_heads
        layers = nn.ModuleList(TransformerLayer(dim, size) for _ in range(size.num_layers))
        self.layers = cast("Sequence[TransformerLayer]", layers)

    def init_state(self, batch_size: int, max_chunk: int = 16) -> TransformerState:
        """An empty state; chunks longer than ``max_chunk`` are processed in pieces of it."""
        layers = [layer.attention.init_state(batch_size, self.size.context - 1 + max_chunk) for layer in self.layers]
        position = torch.zeros(batch_size, dtype=torch.int64, device=layers[0].keys.device)
        return TransformerState(position=position, layers=layers)

    def forward(self, x: Tensor, state: TransformerState | None = None) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        if state is None:
            return self._chunk(x, None)
        max_chunk = state.layers[0].keys.shape[2] - self.size.context + 1
        return torch.cat([self._chunk(piece, state) for piece in x.split(max_chunk, dim=1)], dim=1)

    def _chunk(self, x: Tensor, state: TransformerState | None) -> Tensor:
        T, context = x.shape[1], self.size.context
        steps = torch.arange(T, device=x.device)[None]
        positions = steps if state is None else state.position[:, None] + steps
        angles = rotary_angles(positions, self.head_dim, self.size.max_period)
        if state is None:
            window, rings = Window.offline(positions, context, angles), [None] * len(self.layers)
        else:
            window, rings = Window.ring(positions, context, angles, state.layers[0].keys.shape[2]), state.layers
            state.write(state.position, state.position + T)
        for layer, ring in zip(self.layers, rings, strict=True):
            x = layer(x, window, ring)
        return x
