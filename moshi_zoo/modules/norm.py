"""Norms and residual scales."""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class RMSNorm(nn.Module):
    """x / rms(x) * weight in float32, whatever the dtype around it (arXiv 1910.07467; Moshi paper 3.2).

    Args:
        dim: width.
        eps: added to the mean square.
    """

    def __init__(self, dim: int, eps: float = 1e-8):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def reset_parameters(self) -> None:
        """Back to one."""
        nn.init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., D], in x's dtype."""
        weight = self.weight
        if x.dtype == weight.dtype == torch.float32:
            return rms_norm(x, weight, self.eps)
        return rms_norm(x.float(), weight.float(), self.eps).to(x.dtype)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """``F.rms_norm`` over the last dimension: float32 [..., D] x [D] -> [..., D].

    On a CPU that one is made of many passes over memory; this is half of them, and a third in training.
    """
    if not x.is_cpu or torch.compiler.is_compiling():
        return F.rms_norm(x, weight.shape, weight, eps)
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        return _RMSNorm.apply(x, weight, eps)
    return torch.addcdiv(_nothing(), x * weight, _length(x, eps), value=len(weight) ** 0.5)  # 0 + root * quotient


def _length(x: Tensor, eps: float) -> Tensor:
    """The root of the sum of squares, eps among them: [..., D] -> [..., 1]."""
    return torch.hypot(torch.linalg.vector_norm(x, dim=-1, keepdim=True), _floor(x.shape[-1] * eps))


@cache
def _floor(squares: float) -> Tensor:
    return torch.tensor(squares**0.5, device="cpu")


@cache
def _nothing() -> Tensor:
    return torch.tensor(0.0, device="cpu")


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        inverse = _length(x, eps).reciprocal_()
        direction = x * inverse
        ctx.save_for_backward(direction, inverse, weight)
        return direction * (weight * len(weight) ** 0.5)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        direction, inverse, weight = ctx.saved_tensors
        root = len(weight) ** 0.5
        along = grad * direction
        grad_weight = along.flatten(0, -2).sum(0).mul_(root) if ctx.needs_input_grad[1] else None
        if not ctx.needs_input_grad[0]:
            return None, grad_weight, None
        scale = weight * root
        share = (along @ scale).unsqueeze(-1)  # what of it points along x changes nothing
        return (grad * scale).addcmul_(direction, share, value=-1).mul_(inverse), grad_weight, None


class LayerScale(nn.Module):
    """A learnt weight per channel of a residual branch (CaiT, arXiv 2103.17239).

    Args:
        dim: width.
        initial: small, so that a deep stack starts near the identity.
    """

    def __init__(self, dim: int, initial: float):
        super().__init__()
        self.initial = initial
        self.scale = nn.Parameter(torch.full((dim,), initial))

    def reset_parameters(self) -> None:
        """Back to the initial weight."""
        nn.init.constant_(self.scale, self.initial)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., D]."""
        return x * self.scale
