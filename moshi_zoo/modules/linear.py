"""Matrix products that stay at memory speed for the few rows that streams bring."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_FEW = 4  # rows up to which one thread reads a weight faster from the left
_SHARED = 16  # rows up to which PyTorch leaves a product to one thread, and it pays to share it out
_SHARE = 64  # rows of the weight that a thread has at least


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``F.linear``: [..., N] x [M, N] -> [..., M].

    A product of few rows is over when its weight has been read, and on a CPU PyTorch's library leaves that to one
    thread. Batched products it does share out. So where there are more threads, the product is asked for as one of
    several parts of the weight: with two it takes half the time. With one thread, two to four rows are asked for as
    ``weight @ x.T``: the library's kernels for that shape read the weight once at memory speed, those for
    ``x @ weight.T`` take up to twice as long.
    """
    if torch.is_grad_enabled() or not x.is_cpu or torch.is_autocast_enabled("cpu"):
        return F.linear(x, weight, bias)
    M, N = weight.shape
    num_rows, num_parts = x.numel() // N, _parts(M)
    if num_parts > 1 and 0 < num_rows <= _SHARED:
        parts = weight.view(num_parts, M // num_parts, N).mT
        y = _batched(x.reshape(num_rows, N).expand(num_parts, num_rows, N), parts)  # [parts, rows, M / parts]
        y = y if num_rows == 1 else y.transpose(0, 1)
    elif 1 < num_rows <= _FEW and weight.stride(0) != 1:  # 1: stored by columns
        y = (weight @ x.reshape(num_rows, N).t()).t().contiguous()
    else:
        return F.linear(x, weight, bias)
    y = y.reshape(*x.shape[:-1], M)
    return y if bias is None else y + bias


@torch.compiler.assume_constant_result
def _parts(num_rows: int) -> int:
    """How many threads may share the rows of a weight alike."""
    most = min(torch.get_num_threads(), num_rows // _SHARE)
    while most > 1 and num_rows % most:
        most -= 1
    return most


def _batched(x: Tensor, y: Tensor) -> Tensor:
    if torch.compiler.is_compiling():  # of a bmm with one row it would write out the loops, for one thread
        return torch.baddbmm(x.new_zeros(()), x, y, beta=0)
    return torch.bmm(x, y)


class Linear(nn.Linear):
    """``nn.Linear`` through :func:`linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., N] -> [..., M]."""
        return linear(x, self.weight, self.bias)
