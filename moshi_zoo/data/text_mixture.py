"""Several sources of rows in one epoch, in shares."""

from collections.abc import Sequence

import numpy as np
from torch.utils.data import Dataset

from moshi_zoo.data.text_rows import Row, Rows


class Mixture(Dataset[Row]):
    """Rows of several sources, each with its share of every epoch.

    An epoch is as long as all sources together. A source whose share is larger than it is comes round more than once
    an epoch, each time in another order; of one whose share is smaller, the next epoch takes what is still to come.

    Args:
        sources: Rows.
        weights: Their shares, which need not add up to 1. None: as long as they are.
        at_least: Rows of an epoch; very small sources come round several times in it.
    """

    def __init__(self, sources: Sequence[Rows], weights: Sequence[float] | None = None, *, at_least: int = 1):
        self.sources = sources
        sizes = [source.num_rows for source in sources]
        total = max(sum(sizes), at_least)
        ends = np.cumsum(sizes if weights is None else weights)
        self._ends = np.round(ends / ends[-1] * total).astype(np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, key: tuple[int, int]) -> Row:
        """The row of an epoch and an index in it."""
        epoch, index = key
        number = int(np.searchsorted(self._ends, index, side="right"))
        start = int(self._ends[number - 1]) if number else 0
        return self.sources[number].row(epoch * int(self._ends[number] - start) + index - start)


class SomeRows(Dataset[Row]):
    """The same rows each time, spread evenly over all of several sources.

    Args:
        sources: Rows.
        most: How many to take at most.
    """

    def __init__(self, sources: Sequence[Rows], most: int):
        everything = [(source, index) for source in sources for index in range(source.num_rows)]
        self._chosen = [everything[i * len(everything) // most] for i in range(most)]
        if len(everything) <= most:
            self._chosen = everything

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> Row:
        source, row = self._chosen[index]
        return source.row(row)
