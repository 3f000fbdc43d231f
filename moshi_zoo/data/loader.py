"""Loaders that know where they are: a run that stops in the middle of an epoch goes on with the very next batch.

Lightning saves and restores a training loader that has ``state_dict``, and leaves loaders of its own making alone; run
it with ``use_distributed_sampler=False``, since the loaders share the work among processes themselves.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Share:
    """Which of several processes this is."""

    rank: int = 0
    world_size: int = 1


class TrainLoader(Generic[Item, Batch]):
    """Batches in an order that depends on seed and epoch only, and a position that can be saved.

    The items of an epoch are dealt out a *global batch* at a time: ``batch_size`` to each process in turn. The position
    counts global items that were handed over, not those that workers have fetched ahead. Iterating goes on from the
    position for ``len(self)`` batches, over the end of an epoch if need be, so that a shortened pass
    (``limit_train_batches``) wastes no data and resumes as exactly as a full one. Items that do not fill a last
    global batch wait for another epoch's order.

    Args:
        dataset: Takes keys ``(epoch, index)``.
        num_items: Indices of an epoch, the same for any number of processes.
        batch_size: Items of a batch of this process.
        collate: Makes a batch of items, in the worker.
        finish: Called in the main process with what ``collate`` made; returns the batch.
        seed: Of the order.
        share: Which process this is, of how many.
        num_workers: Processes that fetch ahead; 0 fetches in this one. Batches do not depend on it.

    Raises:
        ValueError: if an epoch has less than one batch for every process.
    """

    def __init__(
        self,
        dataset: Dataset[Item],
        *,
        num_items: int,
        batch_size: int,
        collate: Callable[[Sequence[Item]], Any],
        finish: Callable[[Any], Batch],
        seed: int = 0,
        share: Share | None = None,
        num_workers: int = 0,
    ):
        self.num_items, self.batch_size, self.seed = num_items, batch_size, seed
        self.share = share or Share()
        self.finish = finish
        self._epoch, self._consumed = 0, 0
        self._global_batch = batch_size * self.share.world_size
        if len(self) == 0:
            raise ValueError(
                f"an epoch has {num_items} items, but one step of {self.share.world_size} processes with batch size "
                f"{batch_size} takes {self._global_batch}: lower batch_size"
            )
        self._batches = _dataloader(dataset, _Iterable(self._keys), collate, num_workers, persistent=num_workers > 0)

    def __len__(self) -> int:
        return self.num_items // self._global_batch

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._batches:
            self._epoch, self._consumed = self._turn(self._epoch, self._consumed)
            self._consumed += self._global_batch
            yield self.finish(batch)

    def state_dict(self) -> dict[str, int]:
        """The position, valid for any number of processes and workers."""
        return {"epoch": self._epoch, "consumed": self._consumed, "num_items": self.num_items}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to a saved position. If the data has changed since, the next epoch begins."""
        self._epoch, self._consumed = state["epoch"], state["consumed"]
        if state["num_items"] != self.num_items:
            log.warning(
                "the data has changed: an epoch had %d items and now has %d; beginning a new epoch",
                state["num_items"],
                self.num_items,
            )
            self._epoch, self._consumed = self._epoch + 1, 0

    def _turn(self, epoch: int, consumed: int) -> tuple[int, int]:
        return (epoch, consumed) if consumed + self._global_batch <= self.num_items else (epoch + 1, 0)

    def _keys(self) -> Iterator[list[tuple[int, int]]]:
        epoch, consumed, order = self._epoch, self._consumed, None
        for _ in range(len(self)):
            before = epoch
            epoch, consumed = self._turn(epoch, consumed)
            if order is None or epoch != before:
                order = np.random.default_rng((self.seed, epoch)).permutation(self.num_items)
            first = consumed + self.share.rank * self.batch_size
            yield [(epoch, int(index)) for index in order[first : first + self.batch_size]]
            consumed += self._global_batch


class EvaluationLoader(Generic[Item, Batch]):
    """Every item once, in order, shared among processes.

    All processes get equally many batches of equal sizes, or they would wait for each other for ever. Where the items
    cannot be divided evenly, a few are seen by two processes; one process alone sees each exactly once.

    Args:
        dataset: Takes indices.
        num_items: How many there are.
        batch_size: Items of a batch of this process.
        collate: Makes a batch of items, in the worker.
        finish: Called in the main process with what ``collate`` made; returns the batch.
        share: Which process this is, of how many.
        num_workers: Processes that fetch ahead.
    """

    def __init__(
        self,
        dataset: Dataset[Item],
        *,
        num_items: int,
        batch_size: int,
        collate: Callable[[Sequence[Item]], Any],
        finish: Callable[[Any], Batch],
        share: Share | None = None,
        num_workers: int = 0,
    ):
        self.num_items, self.batch_size = num_items, batch_size
        self.share = share or Share()
        self.finish = finish
        self._batches = _dataloader(dataset, _Iterable(self._keys), collate, num_workers, persistent=False)

    def __len__(self) -> int:
        return -(-self.num_items // (self.batch_size * self.share.world_size))

    def __iter__(self) -> Iterator[Batch]:
        return map(self.finish, self._batches)

    def _keys(self) -> Iterator[list[int]]:
        step = self.batch_size * self.share.world_size
        for first in range(0, self.num_items, step):
            items = range(first, min(first + step, self.num_items))
            each = -(-len(items) // self.share.world_size)
            mine = range(self.share.rank * each, (self.share.rank + 1) * each)
            yield [items[i % len(items)] for i in mine]


class _Iterable:
    """A function that makes iterators, as an iterable."""

    def __init__(self, make: Callable[[], Iterator[Any]]):
        self.make = make

    def __iter__(self) -> Iterator[Any]:
        return self.make()


def _dataloader(
    dataset: Dataset, keys: _Iterable, collate: Callable, num_workers: int, *, persistent: bool
) -> DataLoader:
    return DataLoader(
        dataset,
        batch_sampler=keys,  # pyrefly: ignore
        collate_fn=collate,
        num_workers=num_workers,
        persistent_workers=persistent,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # else each pass would advance the global one, and a resumed run has more passes
    )
