"""The gated feed-forward layer of Kyutai's language models: SwiGLU (arXiv 2002.05202), without biases."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from moshi_zoo.modules.linear import Linear


def gated_width(dim: int, hidden_scale: float) -> int:
    """The inner width that the reference gives a gated layer, so that it costs as much as a plain one.

    A plain layer of width ``hidden_scale * dim`` has two matrices, a gated one three: two thirds of the width. Scale 4
    is rounded otherwise, as in the reference.

    Args:
        dim: width of the model.
        hidden_scale: of the plain layer; 4.125 in Helium.
    """
    plain = int(hidden_scale * dim)
    return 21 * dim // 8 if plain == 4 * dim else 2 * plain // 3


class SwiGLU(nn.Module):
    """out(silu(gate(x)) * up(x)); gate and up come from one product.

    Args:
        dim: width.
        hidden_dim: inner width.
        linear: makes the products.
    """

    def __init__(self, dim: int, hidden_dim: int, *, linear: type[Linear] = Linear):
        super().__init__()
        self.in_proj = linear(dim, 2 * hidden_dim, bias=False)  # rows: gate, up
        self.out_proj = linear(hidden_dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., D]."""
        return self.out_proj(gated(self.in_proj(x)))


def gated(x: Tensor) -> Tensor:
    """silu(gate) * up, the two halves of the input: [..., 2 H] -> [..., H].

    In training nothing is kept but the input, and its gradient is written once.
    """
    if torch.is_grad_enabled() and x.requires_grad and not torch.compiler.is_compiling():
        return _Gated.apply(x)
    gate, up = x.chunk(2, dim=-1)
    return F.silu(gate) * up


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        gate, up = x.chunk(2, dim=-1)
        return F.silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        (gate, up), grads = x.chunk(2, dim=-1), torch.empty_like(x)
        grad_gate, grad_up = grads.chunk(2, dim=-1)
        torch.mul(grad, F.silu(gate), out=grad_up)
        torch.ops.aten.silu_backward.grad_input(grad * up, gate, grad_input=grad_gate)
        return grads
