"""Norms and residual scales."""

import torch
from torch import Tensor, nn


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
