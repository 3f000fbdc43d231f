"""Tells Weights & Biases which model a run has made, and from which ones: its lineage graph."""

import re
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from moshi_zoo.training.stage import Stage
from moshi_zoo.zoo import uri
from moshi_zoo.zoo.config import Parent, read_config

_TYPE = "model"


class WandbModels(Callback):
    """Logs the zoo folder of a run as an artifact, and the models that it started from as those that it used.

    An artifact holds checksums and where the files are; with the logger's ``log_model: true`` it holds the files. The
    same weights under the same name are the same artifact to W&B, whichever run speaks of them: that joins the runs of
    a chain. Offline, W&B cannot note what is used; the parents are in the run's config too, as ``lineage``.
    """

    @rank_zero_only
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The parents are known now."""
        if not isinstance(pl_module, Stage) or not pl_module.parents:
            return
        for logger in _loggers(trainer):
            run = logger.experiment
            lineage = [{"name": parent.name, "sha256": parent.sha256} for parent in pl_module.parents]
            run.config.update({"lineage": lineage}, allow_val_change=True)
            for parent in pl_module.parents if not run.offline else ():
                if folder := _folder_of(parent):
                    run.use_artifact(artifact(folder, uploads=_uploads(logger)))

    @rank_zero_only
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The zoo folder is as it will stay."""
        folder = Path(trainer.default_root_dir) / "zoo"
        for logger in _loggers(trainer) if folder.is_dir() else ():
            logger.experiment.log_artifact(artifact(folder, uploads=_uploads(logger)))


def artifact(folder: Path, *, uploads: bool) -> Any:
    """The artifact of a zoo folder, named after its run or itself.

    Args:
        folder: with the model.
        uploads: whether it holds the files, or points at them.
    """
    import wandb

    config = read_config(folder)
    about = {"component": config.component, "stage": config.stage, "sha256": config.sha256}
    made = wandb.Artifact(_name(folder), _TYPE, metadata=about)
    if uploads:
        made.add_dir(str(folder))
    else:
        made.add_reference(folder.absolute().as_uri(), checksum=True)
    return made


def _name(folder: Path) -> str:
    home = folder.absolute().parent if folder.name == "zoo" else folder.absolute()
    roots = (root.absolute() for root in (uri.RUNS, uri.CHECKPOINTS))
    name = next((str(home.relative_to(root)) for root in roots if root in home.parents), home.name)
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name)


def _folder_of(parent: Parent) -> Path | None:
    """Where a parent is; None if it is gone, or has other weights by now."""
    try:
        folder = uri.resolve(parent.name)
        return folder if read_config(folder).sha256 == parent.sha256 else None
    except ValueError:
        return None


def _uploads(logger: WandbLogger) -> bool:
    return bool(logger._log_model)  # Lightning's own use of it is for checkpoints that we do not write


def _loggers(trainer: Trainer) -> list[WandbLogger]:
    return [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]
