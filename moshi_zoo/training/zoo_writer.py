"""Writes what a run has learned as a zoo folder, which the next stage and everybody else can load."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from moshi_zoo.training.best import Best
from moshi_zoo.training.stage import Stage
from moshi_zoo.zoo import folder


class ZooWriter(Callback):
    """Writes ``zoo/`` in the run's folder: the weights of the best validation, or the last ones if there was none.

    Args:
        licence: under which the weights may be used; that of the data has a say in it.
    """

    def __init__(self, licence: str = "unspecified"):
        self.licence = licence
        self.best = Best()
        self._written = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write after the best validation so far."""
        if trainer.state.fn != "fit" or trainer.sanity_checking or not isinstance(pl_module, Stage):
            return
        if self.best.improved(trainer, pl_module):
            self._write(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write if no validation chose the weights."""
        if isinstance(pl_module, Stage) and (pl_module.monitor is None or not self._written):
            self._write(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {"best": self.best.value, "written": self._written}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.best.value, self._written = state_dict["best"], state_dict["written"]

    def _write(self, trainer: Trainer, stage: Stage) -> None:
        tensors = stage.zoo_weights()  # in every process: sharded weights are gathered by all
        if trainer.is_global_zero:
            folder.save(
                Path(trainer.default_root_dir) / "zoo",
                stage.spec,
                tensors,
                stage=type(stage).__name__,
                parents=stage.parents,
                licence=self.licence,
                tokenizer=stage.tokenizer,
                text_layout=stage.text_layout,
                sampling=stage.sampling,
            )
        self._written = True
