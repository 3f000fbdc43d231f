"""Lightning checkpoints of a run: the latest state, to resume from, and the best one."""

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from moshi_zoo.training.best import Best
from moshi_zoo.training.stage import Stage


class RunCheckpoint(Checkpoint):
    """Writes ``checkpoints/last.ckpt`` and ``checkpoints/best.ckpt`` in the run's folder.

    Lightning's ``ModelCheckpoint`` refreshes its ``last`` only when it also keeps a best; a run resumed from that one
    repeats work. Here ``last`` is the latest state: after each validation, at the end, on Ctrl-C, and every N steps. A
    run that fails keeps the last good one.

    Args:
        every_n_steps: also write ``last`` this often; 0: only at the times above.
    """

    def __init__(self, every_n_steps: int = 0):
        self.every_n_steps = every_n_steps
        self.best = Best()
        self._saved_step = -1

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Save every N steps."""
        if self.every_n_steps and trainer.global_step % self.every_n_steps == 0:
            self._save_last(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, and once more if this was the best validation."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        improved = isinstance(pl_module, Stage) and self.best.improved(trainer, pl_module)
        self._save_last(trainer)
        if improved:
            self._save(trainer, "best")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the end."""
        self._save_last(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save when somebody stopped the run; after an error the weights may be broken."""
        if isinstance(exception, KeyboardInterrupt | SystemExit) and trainer.global_step > 0:
            self._save_last(trainer)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {"best": self.best.value}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.best.value = state_dict["best"]

    def _save_last(self, trainer: Trainer) -> None:
        if trainer.global_step != self._saved_step:
            self._saved_step = trainer.global_step
            self._save(trainer, "last")

    def _save(self, trainer: Trainer, name: str) -> None:
        trainer.save_checkpoint(Path(trainer.default_root_dir) / "checkpoints" / f"{name}.ckpt")
