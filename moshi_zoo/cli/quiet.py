"""Silences what Lightning and PyTorch say without being asked: adverts, hints, warnings about choices of ours."""

import logging
import re
import warnings

_WARNINGS = (
    r".*does not have many workers",  # nano recipes read in the main process on purpose
    r".*The number of training batches .* is smaller than the logging interval",
    r".*isinstance\(treespec, LeafSpec\)",
    r".*Checkpoint directory .* exists and is not empty",
    r".*`LightningCLI`'s args parameter",
    r".*You defined a `validation_step` but have no `val_dataloader`",
    r".*Trying to infer the `batch_size`",
    r".*Be aware that when using `ckpt_path`, callbacks",
)
_LINES = re.compile(
    r"💡|TPU available|HPU available|Seed set to|`Trainer\.fit` stopped|Detected KeyboardInterrupt"
    r"|already configured with model summary"  # with ours
    r"|No CUDA runtime is found"  # says compiling where there is none
)


def quiet() -> None:
    """Install the filters; they are few and exact, so that a new warning is seen."""
    for message in _WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    for name in (
        "lightning.pytorch.utilities.rank_zero",
        "lightning.fabric.utilities.seed",
        "torch.utils.cpp_extension",
    ):
        logging.getLogger(name).addFilter(_is_news)
    saving = "lightning.pytorch.trainer.connectors.checkpoint_connector"  # says at each save how it would load
    logging.getLogger(saving).setLevel(logging.WARNING)


def _is_news(record: logging.LogRecord) -> bool:
    return not _LINES.search(record.getMessage())
