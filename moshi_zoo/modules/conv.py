"""Causal convolutions with explicit streaming state, and weight norm that folds away.

Causal: a layer with kernel k, stride s and dilation d sees (k - 1) d + 1 - s samples of the past, none of the future.
Of a transposed convolution's overlapping tail the last k - s samples wait for the next chunk.

A stream brings one or two frames at a time to the deep layers. Convolution kernels then spend their time on reordering
millions of weights for a handful of outputs; a matrix product reads them once. Both compute the same sums
(:func:`_is_short` chooses).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

from moshi_zoo.modules.linear import linear
from moshi_zoo.modules.streaming import State

_SHORT = 64  # output positions up to which a matrix product beats a convolution kernel
_GAIN = (
    1.2  # keeps the variance through ELU stacks; PyTorch's default shrinks it to a third a layer: nothing then learns
)


@dataclass(kw_only=True)
class ConvState(State):
    """The past of a causal convolution.

    Args:
        past: the last inputs, [B, C, (k - 1) d + 1 - s].
        started: bool [B], False until the first chunk; only where the edge is replicated.
    """

    past: Tensor
    started: Tensor | None = None


class CausalConv1d(nn.Conv1d):
    """Causal convolution [B, C, S] -> [B, C', S / stride]; S must be a multiple of the stride.

    Args:
        in_channels: C.
        out_channels: C'.
        kernel_size: taps.
        stride: input samples per output.
        dilation: distance of the taps.
        bias: learn an offset.
        edge: what lies before the start: zeros, or the first input repeated.
        gain: scale of the initial weights.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        edge: Literal["zeros", "replicate"] = "zeros",
        gain: float = _GAIN,
    ):
        self.gain = gain
        super().__init__(in_channels, out_channels, kernel_size, stride, dilation=dilation, groups=groups, bias=bias)
        self.edge = edge
        self.num_past = (kernel_size - 1) * dilation + 1 - stride

    def reset_parameters(self) -> None:
        """Gaussian weights of variance gain² / fan-in, zero bias."""
        nn.init.normal_(self.weight, std=self.gain / math.sqrt(self.weight[0].numel()))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def init_state(self, batch_size: int) -> ConvState:
        """The state before the first sample."""
        past = self.weight.new_zeros(batch_size, self.in_channels, self.num_past)
        started = past.new_zeros(batch_size, dtype=torch.bool) if self.edge == "replicate" else None
        return ConvState(past=past, started=started)

    def forward(self, x: Tensor, state: ConvState | None = None) -> Tensor:
        """[B, C, S] -> [B, C', S / stride]."""
        x = torch.cat([self._past(x, state), x], dim=-1)
        if state is not None:
            state.write(state.past, x[..., x.shape[-1] - self.num_past :])
            if state.started is not None:
                state.write(state.started, torch.ones_like(state.started))
        if self.dilation == (1,) and _is_short(x, self.stride[0]):
            windows = x.unfold(-1, self.kernel_size[0], self.stride[0])  # [B, C, T, k]
            if self.groups == 1:
                windows = windows.transpose(1, 2).flatten(2)  # [B, T, C k]
                return linear(windows, self.weight.flatten(1), self.bias).transpose(1, 2)
            if self.groups == self.in_channels == self.out_channels:
                y = (windows @ self.weight.mT)[..., 0]  # [B, C, T, k] x [C, k, 1]
                return y if self.bias is None else y + self.bias[:, None]
        return super().forward(x)

    def _past(self, x: Tensor, state: ConvState | None) -> Tensor:
        if self.edge == "zeros":
            return x.new_zeros(*x.shape[:2], self.num_past) if state is None else state.past
        first = x[..., :1].expand(-1, -1, self.num_past)
        if state is None:
            return first
        assert state.started is not None
        return torch.where(state.started[:, None, None], state.past, first)


@dataclass(kw_only=True)
class OverlapState(State):
    """Outputs that the next chunk will complete, without bias: [B, C', k - s]."""

    partial: Tensor


class CausalConvTranspose1d(nn.ConvTranspose1d):
    """Causal transposed convolution [B, C, T] -> [B, C', T stride]; arguments as in :class:`CausalConv1d`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int,
        groups: int = 1,
        bias: bool = True,
        gain: float = _GAIN,
    ):
        self.gain = gain
        super().__init__(in_channels, out_channels, kernel_size, stride, groups=groups, bias=bias)
        self.num_overlap = kernel_size - stride

    def reset_parameters(self) -> None:
        """Gaussian weights of variance gain² / fan-in (the taps that meet in one output), zero bias."""
        fan_in = self.in_channels // self.groups * self.kernel_size[0] / self.stride[0]
        nn.init.normal_(self.weight, std=self.gain / math.sqrt(fan_in))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def init_state(self, batch_size: int) -> OverlapState:
        """The state before the first frame."""
        return OverlapState(partial=self.weight.new_zeros(batch_size, self.out_channels, self.num_overlap))

    def forward(self, x: Tensor, state: OverlapState | None = None) -> Tensor:
        """[B, C, T] -> [B, C', T stride]."""
        y = overlap_add(self._spread(x), self.stride[0], state)
        return y if self.bias is None else y + self.bias[:, None]  # added last: inside, the overlap would get it twice

    def _spread(self, x: Tensor) -> Tensor:
        """What each frame adds to the output: [B, C, T] -> [B, C', T, k]."""
        B, _, T = x.shape
        if self.groups == 1:
            return (x.transpose(1, 2) @ self.weight.flatten(1)).view(B, T, self.out_channels, -1).transpose(1, 2)
        weight = self.weight.view(self.groups, -1, *self.weight.shape[1:])  # [G, C / G, C' / G, k]
        return torch.einsum("bgct,gcok->bgotk", x.view(B, self.groups, -1, T), weight).flatten(1, 2)


def overlap_add(frames: Tensor, hop: int, state: OverlapState | None = None) -> Tensor:
    """Add up frames that start every ``hop`` samples: [B, C, T, k] -> [B, C, T hop]; the tail waits in the state."""
    B, C, T, width = frames.shape
    parts = -(-width // hop)  # a frame reaches into this many hops
    frames = F.pad(frames, (0, parts * hop - width))
    y = frames.new_zeros(B, C, T + parts - 1, hop)
    for part in range(parts):
        y[:, :, part : part + T] += frames[..., part * hop : (part + 1) * hop]
    y = y.flatten(2)
    if state is not None:
        num_overlap = state.partial.shape[-1]
        y[..., :num_overlap] += state.partial
        state.write(state.partial, y[..., T * hop : T * hop + num_overlap])
    return y[..., : T * hop]


def _is_short(x: Tensor, stride: int) -> bool:
    return x.shape[0] * x.shape[-1] <= _SHORT * stride


def add_weight_norm(module: nn.Module) -> None:
    """Train all convolutions of a module as direction and length (over dimension 0, as Mimi was trained)."""
    for part in module.modules():
        if isinstance(part, CausalConv1d | CausalConvTranspose1d):
            weight_norm(part)


def folded_state_dict(module: nn.Module) -> dict[str, Tensor]:
    """The state dict with plain weights, whether or not weight norm is in use."""
    tensors = {k: v for k, v in module.state_dict().items() if "parametrizations." not in k}
    for name, part in module.named_modules():
        if parametrize.is_parametrized(part, "weight"):
            weight = cast("Tensor", part.weight)
            tensors[f"{name}.weight" if name else "weight"] = weight.detach()
    return tensors


def load_folded(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy plain weights into a module in place, through weight norm where it is in use.

    Raises:
        ValueError: naming all tensors that are missing, left over or of another shape.
    """
    own = folded_state_dict(module)
    problems = [f"missing: {k}" for k in own if k not in tensors]
    problems += [f"unexpected: {k}" for k in tensors if k not in own]
    problems += [
        f"{k}: {list(tensors[k].shape)} given, {list(v.shape)} needed"
        for k, v in own.items()
        if k in tensors and tensors[k].shape != v.shape
    ]
    if problems:
        more = f" and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise ValueError("the weights do not fit the model: " + "; ".join(problems[:8]) + more)
    parts = dict(module.named_modules())
    with torch.no_grad():
        for key, old in own.items():
            owner, _, leaf = key.rpartition(".")
            new = tensors[key].to(old.device, old.dtype)
            if parametrize.is_parametrized(parts[owner], leaf):
                setattr(parts[owner], leaf, new)
            else:
                old.copy_(new)
