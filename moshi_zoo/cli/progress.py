"""Progress of a training run: a bar on a terminal, now and then a line elsewhere."""

import sys
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar


def progress_callback() -> ProgressBar:
    """The one that fits where the output goes."""
    return RichProgressBar() if sys.stdout.isatty() else ProgressLines()


class ProgressLines(ProgressBar):
    """Prints a line at growing intervals (1 s, then ever longer up to 30 s), and after each validation.

    A log file of a day's run stays readable, and a short run still shows life.
    """

    def __init__(self) -> None:
        super().__init__()
        self._enabled = True
        self._next = 0.0
        self._interval = 1.0
        self._started = (0.0, 0)

    def disable(self) -> None:
        """Called by Lightning on all but the first process."""
        self._enabled = False

    def enable(self) -> None:
        """Undo :meth:`disable`."""
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._started = (time.monotonic(), trainer.global_step)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Print a line if it is time."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self._interval
            self._interval = min(self._interval * 1.5, 30.0)
            self._say(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print what was measured (metrics of single levels, ``val/used_0``, are in metrics.csv)."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            measured = {
                k: v for k, v in trainer.callback_metrics.items() if k.startswith("val") and not k[-1].isdigit()
            }
            self._print(f"validation at step {trainer.global_step}: {_listed(measured)}")

    def _say(self, trainer: Trainer, stage: LightningModule) -> None:
        since, first = self._started
        rate = (trainer.global_step - first) / max(time.monotonic() - since, 1e-9)
        total = (
            f"/{trainer.max_steps}"
            if trainer.max_steps and trainer.max_steps > 0
            else f", epoch {trainer.current_epoch}"
        )
        metrics = {k: v for k, v in self.get_metrics(trainer, stage).items() if k != "v_num"}
        self._print(f"step {trainer.global_step}{total}  {rate:.2f} steps/s  {_listed(metrics)}")

    def _print(self, text: str) -> None:
        if self._enabled:
            print(text, flush=True)


def _listed(metrics: dict[str, Any]) -> str:
    return "  ".join(f"{name} {float(value):.4g}" for name, value in metrics.items() if not isinstance(value, str))
