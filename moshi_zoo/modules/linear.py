"""Matrix products that stay at memory speed for the one or two rows a stream brings."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_FEW = 4  # rows up to which the CPU's kernels read a weight faster from the left


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``F.linear``: [..., N] x [M, N] -> [..., M].

    For two to four rows on a CPU the same product is asked for as ``weight @ x.T``: the library's kernels for that
    shape read the weight once at memory speed, those for ``x @ weight.T`` take up to twice as long.
    """
    if torch.is_grad_enabled() or not x.is_cpu:
        return F.linear(x, weight, bias)
    num_rows = x.numel() // x.shape[-1]
    if not 1 < num_rows <= _FEW or weight.stride(0) == 1 or torch.is_autocast_enabled("cpu"):  # 1: stored by columns
        return F.linear(x, weight, bias)
    y = (weight @ x.reshape(num_rows, -1).t()).t().contiguous().view(*x.shape[:-1], -1)
    return y if bias is None else y + bias


class Linear(nn.Linear):
    """``nn.Linear`` through :func:`linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., N] -> [..., M]."""
        return linear(x, self.weight, self.bias)
