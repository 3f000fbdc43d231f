"""Norms and residual scales."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
        return F.rms_norm(x.float(), weight.shape, weight.float(), self.eps).to(x.dtype)


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
