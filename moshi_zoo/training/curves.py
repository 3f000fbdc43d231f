"""The curves of a run as a picture that is always up to date: ``curves.png`` in its folder."""

import csv
import math
import re
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger

from moshi_zoo.metrics.pictures import curves_picture

Series = list[tuple[float, float]]

_MOST_POINTS = 300  # of a curve: about one a pixel
_ONE_OF_MANY = re.compile(r"_\d+$")  # codebook by codebook: those have a picture of their own


class Curves(Callback):
    """Draws everything in ``metrics.csv`` after each validation and at the end; W&B gets the picture, too.

    The file goes on when a run is resumed, and so do the curves.
    """

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw what there is so far."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            _draw(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the whole run."""
        _draw(trainer)


def read_curves(path: Path) -> dict[str, Series]:
    """Curves of a metrics file, name -> (step, value), those of the validation first.

    Columns that end in a number, such as ``val/used_3``, are left out. Where a step was made twice, since a run went on
    from an earlier checkpoint, the second time counts. Long curves are thinned out to means of neighbours; values that
    are not finite are left out.

    Args:
        path: of a table with a column ``step``.
    """
    curves: dict[str, dict[float, float]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if value and "/" in name and not _ONE_OF_MANY.search(name):
                    curves.setdefault(name, {})[float(row["step"])] = float(value)
    names = sorted(curves, key=lambda name: not name.startswith("val/"))
    return {name: _thinned(sorted(curves[name].items())) for name in names}


def _draw(trainer: Trainer) -> None:
    path = Path(trainer.default_root_dir) / "metrics.csv"
    if not trainer.is_global_zero or not path.exists():
        return
    if curves := read_curves(path):
        picture = curves_picture(curves)
        picture.save(path.with_name("curves.png"))
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("curves", [picture], step=trainer.global_step)


def _thinned(points: Series) -> Series:
    finite = [(step, value) for step, value in points if math.isfinite(value)]
    size = max(-(-len(finite) // _MOST_POINTS), 1)
    groups = [finite[start : start + size] for start in range(0, len(finite), size)]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]
