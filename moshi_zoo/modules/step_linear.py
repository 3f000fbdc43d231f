"""Products with weights of their own for each step of a short sequence (Moshi paper 3.4.1)."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from moshi_zoo.gradient_sum import sum_of
from moshi_zoo.modules.initial import truncated_normal_
from moshi_zoo.modules.linear import linear


class StepLinear(nn.Module):
    """A bias-free product per step; steps may share one.

    Args:
        in_features: N.
        out_features: M.
        schedule: which weights each step uses, as numbers from 0 without a gap.
        initial: how the weights start: uniform (PyTorch's), or truncated normal.
        device: where they live.

    Raises:
        ValueError: if the schedule leaves weights unused.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        schedule: Sequence[int],
        *,
        initial: Literal["uniform", "normal"] = "uniform",
        device: torch.device | str | None = None,
    ):
        super().__init__()
        self.schedule = tuple(schedule)
        num_sets = max(self.schedule, default=-1) + 1
        if set(self.schedule) != set(range(num_sets)):
            raise ValueError(f"schedule {list(schedule)} must use all weights from 0 to {num_sets - 1}")
        self.in_features, self.out_features, self.initial = in_features, out_features, initial
        self.weight = nn.Parameter(torch.empty(num_sets, out_features, in_features, device=device))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        if self.initial == "normal":
            truncated_normal_(self.weight, self.in_features)
        else:
            nn.init.uniform_(self.weight, -(self.in_features**-0.5), self.in_features**-0.5)

    def forward(self, x: Tensor, first: int = 0) -> Tensor:
        """Steps ``first``, ``first + 1``, … of many sequences at once: [steps, B, N] -> [steps, B, M]."""
        return step_linear(x, self.weight, self.schedule[first : first + len(x)])

    def step(self, x: Tensor, index: int) -> Tensor:
        """One step alone: [B, N] -> [B, M]."""
        return linear(x, self.weight[self.schedule[index]])

    def each(self, x: Tensor) -> Tensor:
        """One input for all steps, one product for each set of weights: [..., N] -> [sets, ..., M]."""
        return each_linear(x, self.weight)


def step_linear(x: Tensor, weight: Tensor, schedule: tuple[int, ...]) -> Tensor:
    """[steps, B, N] x [sets, M, N] -> [steps, B, M]; the schedule says which set each step uses."""
    if x.shape[0] == 1:
        return linear(x, weight.select(0, schedule[0]))
    if schedule == tuple(range(len(weight))):  # without a slice: its gradient would be written out twice
        return _product(x, weight)
    if schedule == tuple(range(schedule[0], schedule[0] + len(x))):
        return torch.bmm(x, weight[schedule[0] : schedule[0] + len(x)].mT)
    weights, outputs, start = weight.unbind(), [], 0
    for index, steps in groupby(schedule):
        stop = start + len(list(steps))
        outputs.append(linear(x[start:stop], weights[index]))
        start = stop
    return torch.cat(outputs)


def each_linear(x: Tensor, weight: Tensor) -> Tensor:
    """[..., N] x [sets, M, N] -> [sets, ..., M]."""
    return linear(x, weight.flatten(0, 1)).unflatten(-1, weight.shape[:2]).movedim(-2, 0)


def _product(x: Tensor, weight: Tensor) -> Tensor:
    """[sets, B, N] x [sets, M, N] -> [sets, B, M]."""
    learns = torch.is_grad_enabled() and weight.requires_grad
    if not learns or torch.compiler.is_compiling() or torch.is_autocast_enabled(x.device.type):
        return torch.bmm(x, weight.mT)
    return _Product.apply(x, weight)


class _Product(torch.autograd.Function):
    """A ``bmm`` whose weights get their gradient as they lie in memory, where PyTorch's would be copied there.

    Where a loss in pieces adds up gradients, the product itself adds.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.gradient_sum = sum_of(weight)
        return torch.bmm(x, weight.mT)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        grad_x = torch.bmm(grad, weight) if ctx.needs_input_grad[0] else None
        if ctx.gradient_sum is None:
            return grad_x, torch.bmm(grad.mT, x)
        ctx.gradient_sum.add_product(grad.mT, x)
        return grad_x, None
