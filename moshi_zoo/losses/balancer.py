"""Balances losses by the gradient each sends into the output, so that weights mean shares (EnCodec paper, 3.4).

Weights of raw losses compare nothing: a feature loss of 10 may pull less than a mel loss of 0.1. Here each loss's
gradient at the waveform is divided by a running mean of its own norm before it is weighted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_EPSILON = 1e-12


@dataclass
class BalancedGradient:
    """What the balancer hands back.

    Args:
        gradient: the combined gradient at the output, float32 and without history, shaped like the output.
        ratios: each active loss's share of the summed running norms *before* balancing, for the log: a share that
            falls to 0 is a loss with nothing left to say.
    """

    gradient: Tensor
    ratios: dict[str, Tensor]


class GradientBalancer(nn.Module):
    """Combines losses of one waveform into one gradient: sum_i w_i / (sum_j w_j) * g_i / mean|g_i| / B.

    g_i is the gradient of loss i at the waveform, and mean|g_i| the bias-corrected moving average of its norm per
    clip, over batch and ranks. Only losses that reach the model through the waveform alone belong here (commitment and
    distillation do not). The division by the batch size B, which audiocraft lacks, makes the result the gradient of a
    mean over clips: the share of the unbalanced terms then stays the same at any batch size.

    Back-propagate it once, with the other terms::

        balanced = balancer({"adversarial": adv, "mel": mel}, {"adversarial": 4.0, "mel": 2.0}, wav)
        ((wav * balanced.gradient).sum() + commitment).backward()

    The averages are buffers: a resumed run goes on without a jolt.

    Args:
        names: the losses it may be given.
        decay: of the moving average, per call.
    """

    norm_sum: Tensor
    norm_weight: Tensor

    def __init__(self, names: Sequence[str], *, decay: float = 0.999) -> None:
        super().__init__()
        self.names = tuple(names)
        self.decay = decay
        self.register_buffer("norm_sum", torch.empty(len(names)))
        self.register_buffer("norm_weight", torch.empty(len(names)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Forget every norm."""
        self.norm_sum.zero_()
        self.norm_weight.zero_()

    def forward(self, losses: Mapping[str, Tensor], weights: Mapping[str, float], output: Tensor) -> BalancedGradient:
        """Differentiate the losses at ``output`` (no parameter receives a gradient) and combine.

        Args:
            losses: scalars by name, means over the batch. One without a weight, or of weight 0, is skipped: it costs
                nothing and its average waits.
            weights: shares by name; they may change from call to call, and all that is active is scaled to sum 1.
            output: the generator's waveform ``[B, 1, S]``.

        Raises:
            ValueError: for a loss or weight this balancer does not know, or a negative weight.
        """
        self._check(losses, weights)
        active = [name for name in self.names if name in losses and weights.get(name, 0.0) > 0]
        if not active:
            return BalancedGradient(torch.zeros_like(output, dtype=torch.float32), {})
        gradients = [torch.autograd.grad(losses[name], output, retain_graph=True)[0].float() for name in active]
        means = self._running_means(active, torch.stack([g.flatten(1).norm(dim=1).mean() for g in gradients]))
        total_weight = sum(weights[name] for name in active)
        combined = torch.zeros_like(gradients[0])
        for name, gradient, mean in zip(active, gradients, means, strict=True):
            combined += gradient * (weights[name] / total_weight / (mean + _EPSILON))
        ratios = means / (means.sum() + _EPSILON)
        return BalancedGradient(combined / len(output), dict(zip(active, ratios, strict=True)))

    @torch.no_grad()
    def _running_means(self, active: list[str], norms: Tensor) -> Tensor:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(norms)
            norms = norms / torch.distributed.get_world_size()
        rows = torch.tensor([self.names.index(name) for name in active], device=norms.device)
        # A norm of inf or nan spoils this step, not every later one.
        finite = norms.isfinite()
        decay = torch.where(finite, self.decay, 1.0)
        self.norm_sum[rows] = self.norm_sum[rows] * decay + norms.where(finite, 0.0)
        self.norm_weight[rows] = self.norm_weight[rows] * decay + finite
        return self.norm_sum[rows] / self.norm_weight[rows].clamp(min=_EPSILON)

    def _check(self, losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> None:
        if strangers := sorted({*losses, *weights} - {*self.names}):
            raise ValueError(
                f"the balancer was made for {', '.join(self.names)} but is given {', '.join(strangers)}: "
                "name it at construction, or keep a loss that bypasses the waveform outside"
            )
        if negative := {name: weight for name, weight in weights.items() if weight < 0}:
            raise ValueError(f"balancer weights are shares and must not be negative: {negative}")
