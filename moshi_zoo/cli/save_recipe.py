"""Keeps the recipe of a run, everything filled in: ``config.yaml``, and the config of its W&B run."""

from pathlib import Path

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger


class SaveRecipe(Callback):
    """Writes ``config.yaml`` in the run's folder, with which ``fit --config`` repeats the run.

    Args:
        recipe: YAML text.
    """

    def __init__(self, recipe: str):
        self.recipe = recipe

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write before the first step, so that a run that breaks has it too."""
        if stage != "fit" or not trainer.is_global_zero:
            return
        folder = Path(trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(self.recipe)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.experiment.config.update(yaml.safe_load(self.recipe), allow_val_change=True)
