"""Sounds, pictures and texts of a run: files in ``samples/step-000123/``, and Weights & Biases when it is attached."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile
from lightning.pytorch import LightningModule
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image


def log_audio(stage: LightningModule, name: str, wav: Tensor, sample_rate: int) -> None:
    """Keep a sound that the stage made.

    Args:
        stage: in training or validation.
        name: such as ``val/0-decoded``.
        wav: [C, S], clipped to -1..1.
        sample_rate: in Hz.
    """
    path = _place(stage, name, ".wav")
    if path is None:
        return
    samples = wav.detach().float().clamp(-1, 1).cpu().T.numpy()  # [S, C]
    soundfile.write(path, samples, sample_rate, subtype="PCM_16")
    for logger in _wandb_loggers(stage):
        logger.log_audio(name, [samples], step=stage.trainer.global_step, sample_rate=[sample_rate])


def log_picture(stage: LightningModule, name: str, image: "Image") -> None:
    """Keep a picture that the stage made; arguments as in :func:`log_audio`."""
    path = _place(stage, name, ".png")
    if path is None:
        return
    image.save(path)
    for logger in _wandb_loggers(stage):
        logger.log_image(name, [image], step=stage.trainer.global_step)


def log_texts(stage: LightningModule, name: str, columns: list[str], rows: list[list[str]]) -> None:
    """Keep a table of texts.

    Args:
        stage: in training or validation.
        name: such as ``val/continuations``.
        columns: what the texts of a row are.
        rows: each with a text for every column.
    """
    path = _place(stage, name, ".txt")
    if path is None:
        return
    texts = [(f"{i}: {column}", text) for i, row in enumerate(rows) for column, text in zip(columns, row, strict=True)]
    path.write_text("\n".join(f"== {heading}\n{text}\n" for heading, text in texts), encoding="utf-8")
    for logger in _wandb_loggers(stage):
        logger.log_text(name, columns, rows, step=stage.trainer.global_step)


def _place(stage: LightningModule, name: str, suffix: str) -> Path | None:
    trainer = stage.trainer
    if not trainer.is_global_zero or getattr(trainer, "fast_dev_run", False) or trainer.sanity_checking:
        return None
    folder = Path(trainer.default_root_dir) / "samples" / f"step-{trainer.global_step:06d}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name.replace('/', '-')}{suffix}"


def _wandb_loggers(stage: LightningModule) -> list[Any]:
    return [logger for logger in stage.trainer.loggers if isinstance(logger, WandbLogger)]
