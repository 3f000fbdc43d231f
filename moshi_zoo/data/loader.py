"""Loaders that know where they are: a run that stops in the middle of an epoch goes on with the very next batch.

Lightning saves and restores a training loader that has ``state_dict``, and leaves loaders of its own making alone; run
it with ``use_distributed_sampler=False``, since the loaders share the work among processes themselves.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Process:
    """Which of several processes this is."""

    rank: int = 0
    world_size: int = 1


class TrainLoader(Generic[Item, Batch]):
    """Batches in an order that depends on seed and epoch only, and a position that can be saved.

    The items of an epoch are dealt out a *global batch* at a time: ``batch_size`` to each process in turn. The position
    counts global items that were handed over, not those that workers have fetched ahead. Iterating goes on from the
    position for ``len(self)`` batches, over the end of an epoch if need be, so that a shortened pass
    (``limit_train_batches``) wastes no data and resumes as exactly as a full one. A global batch that begins with the
    last items of an epoch is filled up with the first ones of the next: every item comes exactly once in each epoch.

    Args:
        dataset: Takes keys ``(epoch, index)``.
        num_items: Indices of an epoch, the same for any number of processes.
        batch_size: Items of a batch of this process.
        collate: Makes a batch of items, in the worker.
        finish: Called in the main process with what ``collate`` made; returns the batch.
        seed: Of the order.
        process: Which process this is, of how many.
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
        process: Process | None = None,
        num_workers: int = 0,
    ):
        process = process or Process()
        self.finish = finish
        self._order = _Order(num_items, batch_size, seed, process)
        if len(self._order) == 0:
            raise ValueError(
                f"an epoch has {num_items} items, but one step of {process.world_size} processes with batch size "
                f"{batch_size} takes {self._order.global_batch}: lower batch_size"
            )
        self._batches = _dataloader(dataset, self._order, collate, num_workers, persistent=num_workers > 0)

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._batches:
            self._order.advance()
            yield self.finish(batch)

    def state_dict(self) -> dict[str, int]:
        """The position, valid for any number of processes and workers."""
        return {"epoch": self._order.epoch, "consumed": self._order.consumed, "num_items": self._order.num_items}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to a saved position. If the data has changed since, the next epoch begins."""
        self._order.epoch, self._order.consumed = state["epoch"], state["consumed"]
        if state["num_items"] != self._order.num_items:
            log.warning(
                "the data has changed: an epoch had %d items and now has %d; beginning a new epoch",
                state["num_items"],
                self._order.num_items,
            )
            self._order.epoch, self._order.consumed = state["epoch"] + 1, 0


class _Order:
    """The keys of one process's batches from a position on, and that position.

    Iterating (which workers do ahead of time) leaves the position alone; ``advance`` moves it by one global batch.
    """

    def __init__(self, num_items: int, batch_size: int, seed: int, process: Process):
        self.num_items, self.batch_size, self.seed, self.process = num_items, batch_size, seed, process
        self.global_batch = batch_size * process.world_size
        self.epoch, self.consumed = 0, 0
        self._permutations: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return self.num_items // self.global_batch

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        first = self.epoch * self.num_items + self.consumed + self.process.rank * self.batch_size
        for _ in range(len(self)):
            yield [self._key(place) for place in range(first, first + self.batch_size)]
            first += self.global_batch

    def advance(self) -> None:
        epochs, self.consumed = divmod(self.consumed + self.global_batch, self.num_items)
        self.epoch += epochs

    def _key(self, place: int) -> tuple[int, int]:
        """The item at a place in the endless row of epochs."""
        epoch, index = divmod(place, self.num_items)
        if epoch not in self._permutations:
            self._permutations = {e: order for e, order in self._permutations.items() if e == epoch - 1}
            self._permutations[epoch] = np.random.default_rng((self.seed, epoch)).permutation(self.num_items)
        return epoch, int(self._permutations[epoch][index])


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
        process: Which process this is, of how many.
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
        process: Process | None = None,
        num_workers: int = 0,
    ):
        process = process or Process()
        self.finish = finish
        self._keys = list(_dealt_evenly(num_items, batch_size, process))
        self._batches = _dataloader(dataset, self._keys, collate, num_workers, persistent=False)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Batch]:
        return map(self.finish, self._batches)


def _dealt_evenly(num_items: int, batch_size: int, process: Process) -> Iterator[list[int]]:
    step = batch_size * process.world_size
    for first in range(0, num_items, step):
        items = range(first, min(first + step, num_items))
        each = -(-len(items) // process.world_size)
        yield [items[i % len(items)] for i in range(process.rank * each, (process.rank + 1) * each)]


def _dataloader(
    dataset: Dataset, keys: Iterable[list[Any]], collate: Callable, num_workers: int, *, persistent: bool
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
