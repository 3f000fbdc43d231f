"""A loss that is a sum over pieces of its input, with the memory of one piece and nothing computed twice.

As :mod:`moshi_zoo.losses.cross_entropy` does with logits: gradients are taken in the forward pass, while a piece's
activations are there. To keep all of them would take the more memory the longer the input is; to compute them again in
the backward pass takes a third more work.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from moshi_zoo.gradient_sum import adding_up

Compute = Callable[[Tensor, slice], Tensor]
"""A piece of the input [n, D], and where it is in the whole -> its share of the loss, a number."""


def loss_in_pieces(
    compute: Compute, x: Tensor, parameters: Sequence[Tensor], *, size: int, recompute: bool = False
) -> Tensor:
    """The sum of the losses of all pieces.

    Args:
        compute: may look at what it likes; gradients go to ``x`` and to ``parameters`` alone.
        x: [N, D].
        parameters: that ``compute`` uses; those that want no gradient, or that it leaves out, get none.
        size: positions of a piece.
        recompute: take the gradients in the backward pass, for which all is computed again. For parameters that are
            shared out among processes: they are whole at certain times only.
    """
    pieces = [slice(first, min(first + size, len(x))) for first in range(0, len(x), size)]
    if not torch.is_grad_enabled():
        return _total([compute(x[piece], piece) for piece in pieces], x)
    if recompute:
        again = {"use_reentrant": False, "preserve_rng_state": False}
        return _total([checkpoint(compute, x[piece], piece, **again) for piece in pieces], x)
    wanted = [parameter for parameter in parameters if parameter.requires_grad]
    return _InPieces.apply(compute, pieces, x, *wanted)


class _InPieces(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, compute: Compute, pieces: list[slice], x: Tensor, *parameters: Tensor) -> Tensor:
        grad_x = torch.zeros_like(x) if ctx.needs_input_grad[2] else None
        losses = []
        with adding_up(parameters) as sums:
            for piece in pieces:
                part = x[piece].detach().requires_grad_()
                with torch.enable_grad():
                    loss = compute(part, piece)
                found = torch.autograd.grad(loss, [part, *parameters], allow_unused=True)[0]
                losses.append(loss.detach())
                if grad_x is not None and found is not None:
                    grad_x[piece] = found
        ctx.grads = [grad_x, *(gradient_sum.value for gradient_sum in sums)]
        return _total(losses, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_total: Tensor) -> tuple[Tensor | None, ...]:
        grads, ctx.grads = ctx.grads, None  # in place: they are as large as the parameters
        return None, None, *(None if g is None else g.mul_(grad_total.to(g.dtype)) for g in grads)


def _total(losses: list[Tensor], like: Tensor) -> Tensor:
    return torch.stack(losses).sum() if losses else like.sum() * 0.0
