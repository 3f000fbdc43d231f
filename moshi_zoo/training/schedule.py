"""Learning-rate schedules over the whole run: a linear warm-up from zero to the optimizer's rates, then a shape."""

import math
from collections.abc import Callable

from lightning.pytorch import Trainer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


class WarmupCosine(LambdaLR):
    """Warm-up, then a cosine to ``final`` times the peak at the end of the run.

    Args:
        optimizer: whose rates are the peaks.
        total_steps: optimizer steps of the run; below 1 (a run without an end) the peak is held.
        warmup_steps: optimizer steps; the first has a rate above zero already, the last the peak.
        final: share of the peak at the end; 1 holds it.
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, *, warmup_steps: int = 100, final: float = 0.1):
        def shape(step: int) -> float:
            if total_steps <= warmup_steps:
                return 1.0
            progress = min((step - warmup_steps) / (total_steps - warmup_steps), 1.0)
            return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2

        super().__init__(optimizer, _after_warmup(warmup_steps, shape))


class WarmupStableDecay(LambdaLR):
    """Warm-up, then the peak, then a line to ``final`` times the peak in the last part of the run (WSD).

    What was learnt at the peak goes on with any other number of steps: only the decay knows the end
    (MiniCPM, arXiv 2404.06395; Moshi paper 3.2: "a fixed learning rate", then a decay).

    Args:
        optimizer: whose rates are the peaks.
        total_steps: optimizer steps of the run; below 1 (a run without an end) the peak is held.
        warmup_steps: optimizer steps; the first has a rate above zero already, the last the peak.
        decay_share: share of the run's steps in which the rate falls.
        final: share of the peak at the end.

    Raises:
        ValueError: if the decay would be none, or longer than the run.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        *,
        warmup_steps: int = 100,
        decay_share: float = 0.2,
        final: float = 0.0,
    ):
        if not 0 < decay_share <= 1:
            raise ValueError(f"decay_share is {decay_share}; it must be above 0 and at most 1")

        def shape(step: int) -> float:
            if total_steps <= warmup_steps:
                return 1.0
            left = max(total_steps - step, 0) / (decay_share * total_steps)
            return final + (1 - final) * min(left, 1.0)

        super().__init__(optimizer, _after_warmup(warmup_steps, shape))


def _after_warmup(warmup_steps: int, shape: Callable[[int], float]) -> Callable[[int], float]:
    return lambda step: (step + 1) / warmup_steps if step < warmup_steps else shape(step)


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
