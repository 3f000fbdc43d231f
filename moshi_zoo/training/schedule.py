"""Learning-rate schedules over the whole run."""

import math

from lightning.pytorch import Trainer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_cosine(optimizer: Optimizer, *, warmup_steps: int, total_steps: int, final: float) -> LambdaLR:
    """Linear from zero over ``warmup_steps``, then a cosine to ``final`` times the peak at ``total_steps``.

    Args:
        optimizer: whose rates are the peaks.
        warmup_steps: optimizer steps; the first has a rate above zero already, the last the peak.
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


def optimizer_steps(trainer: Trainer, *, accumulate: int) -> int:
    """Optimizer steps of a run, as its limits of steps and epochs allow; 0 if there is neither.

    Args:
        trainer: about to fit.
        accumulate: batches per optimizer step; an epoch's last step may have fewer.
    """
    limits = [trainer.max_steps] if trainer.max_steps > 0 else []
    if trainer.max_epochs and trainer.max_epochs > 0:
        trainer.fit_loop.setup_data()  # counts the batches; Lightning's own estimate does not know of `accumulate`
        if math.isfinite(trainer.num_training_batches):
            limits.append(trainer.max_epochs * math.ceil(trainer.num_training_batches / accumulate))
    return min(limits, default=0)
