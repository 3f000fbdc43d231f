"""``metrics.csv`` of a run: one row a step, one column a metric."""

import csv
import io
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only


class MetricsCsv(Logger):
    """A logger that writes a table which can be read at any time, and goes on with it when a run is resumed.

    Lightning's own starts anew in that case.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path):
        super().__init__()
        self.path = Path(path)
        self._columns: list[str] = []

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.path.parent.name

    @property
    def version(self) -> str:
        """A run has one version."""
        return ""

    @property
    def save_dir(self) -> str:
        """The folder of the run."""
        return str(self.path.parent)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run's config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a row; a metric seen for the first time adds a column."""
        row = {"step": step, **metrics}
        if not self._columns and self.path.exists():
            self._columns = next(csv.reader(io.StringIO(self.path.read_text())), [])
        if new := [key for key in row if key not in self._columns]:
            self._add_columns(new)
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self._columns).writerow(row)

    def _add_columns(self, new: list[str]) -> None:
        rows = list(csv.DictReader(io.StringIO(self.path.read_text()))) if self.path.exists() else []
        self._columns += new
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        with fresh.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns, restval="")
            writer.writeheader()
            writer.writerows(rows)
        fresh.replace(self.path)
