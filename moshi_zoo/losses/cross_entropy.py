"""Cross-entropy of a language model without ever holding its logits.

For 4096 tokens and 64 000 pieces, float32 logits and their gradient take 2 GB, more than all else of a small model.
Here a few tokens at a time pass the output matrix, and the gradients are taken in the forward pass while their logits
are there (as in Liger, arXiv 2410.10989); only gradients of the sizes of the inputs outlive it.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@dataclass(frozen=True)
class TokenLoss:
    """A loss that can be added up over batches and processes before it is divided.

    Args:
        total: sum of the negative log-likelihoods in nats, float32; carries the gradient.
        count: how many targets are in it, int64.
    """

    total: Tensor
    count: Tensor

    @property
    def mean(self) -> Tensor:
        """Nats per counted target; 0 if there is none."""
        return self.total / self.count.clamp(min=1)


@dataclass(frozen=True)
class WeightedLoss:
    """A weighted sum of the losses of targets, and what each of them is.

    Args:
        total: sum of the weighted negative log-likelihoods in nats, float32; carries the gradient.
        nats: negative log-likelihood of each target, float32 [...]; 0 where the weight is.
        hits: whether the target is the likeliest of all, bool [...]; False where the weight is 0.
    """

    total: Tensor
    nats: Tensor
    hits: Tensor


def chunked_cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, mask: Tensor | None = None, *, chunk: int = 1024
) -> TokenLoss:
    """The negative log-likelihood of ``targets`` under ``softmax(hidden @ weight.T)``.

    The products run in the dtype of autocast, the softmax and all sums in float32.

    Args:
        hidden: after the final norm, [..., D].
        weight: of the output layer, [V, D].
        targets: int64 [...].
        mask: True where a target counts, [...]; None: all do. Others may hold any number.
        chunk: positions whose logits are held at a time.

    Raises:
        ValueError: if the shapes do not belong together.
    """
    counted = torch.ones_like(targets, dtype=torch.bool) if mask is None else mask
    return TokenLoss(weighted_cross_entropy(hidden, weight, targets, counted.float(), chunk=chunk).total, counted.sum())


def weighted_cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor, *, chunk: int = 1024
) -> WeightedLoss:
    """:func:`chunked_cross_entropy` with a weight for each target.

    Args:
        hidden: [..., D].
        weight: of the output layer, [V, D].
        targets: int64 [...]; any number where the weight is 0.
        weights: float32 [...].
        chunk: positions whose logits are held at a time.

    Raises:
        ValueError: if the shapes do not belong together.
    """
    if hidden.shape[:-1] != targets.shape or hidden.shape[-1:] != weight.shape[1:] or weights.shape != targets.shape:
        raise ValueError(
            f"hidden {tuple(hidden.shape)} [..., D], weight {tuple(weight.shape)} [V, D], targets "
            f"{tuple(targets.shape)} [...] and weights {tuple(weights.shape)} [...] do not belong together"
        )
    total, nats, hits = _ChunkedCrossEntropy.apply(
        hidden.flatten(0, -2), weight, targets.flatten(), weights.flatten(), chunk, torch.is_grad_enabled()
    )
    return WeightedLoss(total, nats.view_as(targets), hits.view_as(targets))


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor, chunk: int, learns: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        matrix = weight.to(dtype)
        wants_hidden, wants_weight = (learns and needed for needed in ctx.needs_input_grad[:2])
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if wants_weight else None
        nats = torch.empty(len(hidden), device=hidden.device)
        hits = torch.empty(len(hidden), dtype=torch.bool, device=hidden.device)
        with torch.autocast(device, enabled=False):
            for first in range(0, len(hidden), chunk):
                part = slice(first, first + chunk)
                x, share = hidden[part].to(dtype), weights[part, None]  # [n, D], [n, 1]
                counts = share != 0
                target = targets[part, None].where(counts, 0)
                scores = torch.log_softmax(x @ matrix.t(), dim=-1, dtype=torch.float32)  # [n, V]
                likelihood = scores.gather(1, target)
                nats[part] = (-likelihood).masked_fill(~counts, 0)[:, 0]
                hits[part] = ((likelihood >= scores.amax(1, keepdim=True)) & counts)[:, 0]
                if not (wants_hidden or wants_weight):
                    continue
                error = scores.exp_().scatter_add_(1, target, scores.new_full((len(x), 1), -1.0)).to(dtype)
                if grad_hidden is not None:
                    grad_hidden[part] = (error @ matrix) * share
                if grad_weight is None:
                    continue
                weighted = x * share.to(dtype)
                if grad_weight.dtype == dtype:  # without a matrix in between
                    grad_weight.addmm_(error.t(), weighted)
                else:
                    grad_weight += error.t() @ weighted
        ctx.grads = [grad_hidden, None if grad_weight is None else grad_weight.to(weight.dtype)]
        ctx.mark_non_differentiable(nats, hits)
        return (nats * weights).sum(), nats, hits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_total: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        grads, ctx.grads = ctx.grads, None  # in place: one is as large as the output layer
        return *(None if g is None else g.mul_(grad_total.to(g.dtype)) for g in grads), None, None, None, None
