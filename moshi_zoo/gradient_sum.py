"""Gradients that come in pieces, added up where they will stay."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

_NAME = "_gradient_sum"  # under which a parameter has it meanwhile


class GradientSum:
    """The gradient of a parameter over the pieces so far.

    Its place is there before the first piece, so that activations, which come and go, leave no holes in memory around
    it; but it is not written to before.

    Args:
        parameter: whose gradient it is.
    """

    def __init__(self, parameter: Tensor):
        self._sum, self._found = torch.empty_like(parameter, requires_grad=False), False

    @property
    def value(self) -> Tensor | None:
        """None if no piece had any."""
        return self._sum if self._found else None

    def add_product(self, x: Tensor, y: Tensor) -> None:
        """Add a batched product, as part of it."""
        if self._found:
            self._sum.baddbmm_(x, y)
        else:
            torch.bmm(x, y, out=self._sum)
        self._found = True

    def add_rows(self, indices: Tensor, rows: Tensor) -> None:
        """Add to some rows: int64 [...], [..., D]."""
        if not self._found:
            self._sum.zero_()
        self._sum.index_add_(0, indices.flatten(), rows.flatten(0, -2).to(self._sum.dtype))
        self._found = True

    def take(self, grad: Tensor | None) -> Tensor | None:
        """Add a gradient as soon as it is there, and let go of it."""
        if grad is None:  # already added
            return None
        if self._found:
            self._sum.add_(grad)
        else:
            self._sum.copy_(grad)
        self._found = True
        return grad.new_zeros(()).expand_as(grad)


@contextmanager
def adding_up(parameters: Sequence[Tensor]) -> Iterator[list[GradientSum]]:
    """Adds up the gradients of these parameters in the meantime, in the sums that are handed out."""
    sums = [GradientSum(parameter) for parameter in parameters]
    with ExitStack() as stack:
        for parameter, gradient_sum in zip(parameters, sums, strict=True):
            stack.callback(parameter.register_hook(gradient_sum.take).remove)
            setattr(parameter, _NAME, gradient_sum)
            stack.callback(delattr, parameter, _NAME)
        yield sums


def sum_of(parameter: Tensor) -> GradientSum | None:
    """Where the parameter's gradients are being added up.

    For operations of many weights, which may add theirs there themselves, and return none: that saves a second set of
    gradients, which would be written and read once for every piece.
    """
    return getattr(parameter, _NAME, None)
