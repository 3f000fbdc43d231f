"""The causal transformer shared by the models: pre-norm blocks, rotary positions, sliding window."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from moshi_zoo.host_memory import give_back_holes
from moshi_zoo.modules.attention import Attention, KeyValueState, Window
from moshi_zoo.modules.gating import SwiGLU
from moshi_zoo.modules.initial import NormalLinear
from moshi_zoo.modules.linear import Linear
from moshi_zoo.modules.norm import LayerScale, RMSNorm
from moshi_zoo.modules.rope import rotary_angles
from moshi_zoo.modules.streaming import State

_TOGETHER = 6  # blocks between which memory is given back


@dataclass(frozen=True)
class TransformerSize:
    """Sizes and parts of a transformer; its width is its owner's. The defaults are Mimi's.

    Args:
        num_layers: blocks.
        num_heads: attention heads of a block.
        hidden_dim: inner width of the feed-forward layer.
        context: positions a query sees, itself included.
        layer_scale: initial weight of the residual branches; None: they have none.
        max_period: longest period of the rotary positions, over 2 pi.
        num_kv_heads: heads of keys and values, where a group of heads shares them; None: as many as of queries.
        norm: before each branch: a layer norm, or a root-mean-square norm in float32.
        norm_eps: added to the mean square by the latter.
        mlp: the feed-forward layer: two products with a GELU between, or a gated one.
        initial: how the products start: uniform (PyTorch's), or truncated normal (Kyutai's language models).
    """

    num_layers: int
    num_heads: int
    hidden_dim: int
    context: int = 250
    layer_scale: float | None = 0.01
    max_period: float = 10_000.0
    num_kv_heads: int | None = None
    norm: Literal["layer", "rms"] = "layer"
    norm_eps: float = 1e-8
    mlp: Literal["gelu", "swiglu"] = "gelu"
    initial: Literal["uniform", "normal"] = "uniform"


@dataclass(kw_only=True)
class TransformerState(State):
    """Position of the next input, int64 [B], the layers' rings, and how many positions a query sees."""

    position: Tensor
    layers: list[KeyValueState]
    context: int


class TransformerLayer(nn.Module):
    """x + scale * attention(norm(x)), then x + scale * mlp(norm(x)).

    Args:
        dim: width.
        size: the transformer's sizes.
    """

    def __init__(self, dim: int, size: TransformerSize):
        super().__init__()
        linear = {"uniform": Linear, "normal": NormalLinear}[size.initial]
        self.attention_norm = _norm(dim, size)
        self.attention = Attention(dim, num_heads=size.num_heads, num_kv_heads=size.num_kv_heads, linear=linear)
        self.attention_scale = _scale(dim, size)
        self.mlp_norm = _norm(dim, size)
        self.mlp = _mlp(dim, size, linear)
        self.mlp_scale = _scale(dim, size)

    def init_state(self, batch_size: int, capacity: int) -> KeyValueState:
        """An empty ring of ``capacity`` positions."""
        norm = cast("nn.LayerNorm | RMSNorm", self.attention_norm)  # the products' weights may be quantised
        return self.attention.init_state(batch_size, capacity, norm.weight)

    def forward(self, x: Tensor, window: Window, state: KeyValueState | None = None) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        x = x + _scaled(self.attention(self.attention_norm(x), window, state), self.attention_scale)
        return x + _scaled(self.mlp(self.mlp_norm(x)), self.mlp_scale)


class Transformer(nn.Module):
    """A stack of blocks without a final norm (as Mimi's).

    Args:
        dim: width.
        size: everything else.

    Attributes:
        checkpointing: keep only the blocks' inputs for the backward pass, which computes the rest again: about a third
            more work for a fraction of the memory. Training switches it on.
    """

    def __init__(self, dim: int, size: TransformerSize):
        super().__init__()
        self.size = size
        self.head_dim = dim // size.num_heads
        self.checkpointing = False
        layers = nn.ModuleList(TransformerLayer(dim, size) for _ in range(size.num_layers))
        self.layers = cast("Sequence[TransformerLayer]", layers)

    def init_state(self, batch_size: int, max_chunk: int = 16, *, max_positions: int | None = None) -> TransformerState:
        """An empty state.

        Args:
            batch_size: streams B.
            max_chunk: positions taken at once; longer chunks are processed in pieces of it.
            max_positions: how long the streams will get, where that is known: less memory than for the whole context.
                A stream that goes on sees no further back than this.
        """
        context = min(self.size.context, max_positions or self.size.context)
        layers = [layer.init_state(batch_size, context - 1 + max_chunk) for layer in self.layers]
        position = torch.zeros(batch_size, dtype=torch.int64, device=layers[0].keys.device)
        return TransformerState(position=position, layers=layers, context=context)

    def forward(self, x: Tensor, state: TransformerState | None = None) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        if state is None:
            return self._offline(x)
        pieces = x.split(state.layers[0].keys.shape[2] - state.context + 1, dim=1)
        outputs = [self._streaming(piece, state) for piece in pieces]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)

    def _offline(self, x: Tensor) -> Tensor:
        positions = torch.arange(x.shape[1], device=x.device)[None]
        window = Window.offline(positions, self.size.context, self._angles(positions))
        again = self.checkpointing and torch.is_grad_enabled()
        for index, layer in enumerate(self.layers):
            x = self._recomputed(layer, x, window, index) if again else layer(x, window)
        return x

    def _recomputed(self, layer: TransformerLayer, x: Tensor, window: Window, index: int) -> Tensor:
        x = checkpoint(layer, x, window, use_reentrant=False, preserve_rng_state=False)
        if (index + 1) % _TOGETHER == 0 and x.is_cpu and x.requires_grad:
            # On the way back activations go, and gradients come, which fit into none of the holes.
            x.register_hook(lambda grad: give_back_holes())
        return x

    def _streaming(self, x: Tensor, state: TransformerState) -> Tensor:
        positions = state.position[:, None] + torch.arange(x.shape[1], device=x.device)
        capacity = state.layers[0].keys.shape[2]
        window = Window.ring(positions, state.context, self._angles(positions), capacity)
        state.write(state.position, state.position + x.shape[1])
        for layer, ring in zip(self.layers, state.layers, strict=True):
            x = layer(x, window, ring)
        return x

    def _angles(self, positions: Tensor) -> Tensor:
        return rotary_angles(positions, self.head_dim, self.size.max_period)


def _norm(dim: int, size: TransformerSize) -> nn.Module:
    return nn.LayerNorm(dim) if size.norm == "layer" else RMSNorm(dim, size.norm_eps)


def _scale(dim: int, size: TransformerSize) -> LayerScale | None:
    return None if size.layer_scale is None else LayerScale(dim, size.layer_scale)


def _scaled(x: Tensor, scale: LayerScale | None) -> Tensor:
    return x if scale is None else scale(x)


def _mlp(dim: int, size: TransformerSize, linear: type[Linear]) -> nn.Module:
    if size.mlp == "swiglu":
        return SwiGLU(dim, size.hidden_dim, linear=linear)
    return nn.Sequential(linear(dim, size.hidden_dim, bias=False), nn.GELU(), linear(size.hidden_dim, dim, bias=False))
