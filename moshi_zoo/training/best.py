"""Whether the latest validation is the best so far."""

import math

from lightning.pytorch import Trainer

from moshi_zoo import registry
from moshi_zoo.training.stage import Stage


class Best:
    """Follows the metric a stage calls its ``monitor``; a stage without one gets better with every validation.

    A stage of which a part does not work yet has no best.
    """

    def __init__(self) -> None:
        self.value: float | None = None

    def improved(self, trainer: Trainer, stage: Stage) -> bool:
        """Look at the metrics just logged, and remember them if they are the best.

        Raises:
            ValueError: if the stage did not log what it monitors.
        """
        if not stage.is_complete:
            return False
        if stage.monitor is None:
            return True
        if stage.monitor not in trainer.callback_metrics:
            raise ValueError(registry.unknown("validation metric", stage.monitor, trainer.callback_metrics))
        # process 0 decides: saving is a collective, and all must agree on it
        value = trainer.strategy.broadcast(float(trainer.callback_metrics[stage.monitor]))
        if math.isnan(value):
            return False
        sign = 1 if stage.monitor_mode == "min" else -1
        if self.value is not None and sign * value >= sign * self.value:
            return False
        self.value = value
        return True
