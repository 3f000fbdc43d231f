"""Learning-rate schedules over the whole run."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_cosine(optimizer: Optimizer, *, warmup_steps: int, total_steps: int, final: float) -> LambdaLR:
    """Linear from zero over ``warmup_steps``, then a cosine to ``final`` times the peak at ``total_steps``.

    Args:
        optimizer: whose rates are the peaks.
        warmup_steps: optimizer steps.
        total_steps: optimizer steps of the run; below 1 (a run without an end) the peak is held.
        final: share of the peak at the end; 1 holds it.
    """

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        if total_steps <= warmup_steps:
            return 1.0
        progress = min((step - warmup_steps) / (total_steps - warmup_steps), 1.0)
        return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2

    return LambdaLR(optimizer, factor)
