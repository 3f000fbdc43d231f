"""The place of a batch among those of one optimizer step."""

from dataclasses import dataclass

from lightning.pytorch import Trainer


@dataclass(frozen=True)
class Place:
    """Where a batch stands among those of one optimizer step.

    Args:
        index: counted from 0.
        size: how many there are; the last step of an epoch may have fewer than the others.
    """

    index: int
    size: int

    @property
    def is_last(self) -> bool:
        """Whether the optimizers step after this batch."""
        return self.index == self.size - 1


def place_of(batch_idx: int, trainer: Trainer, *, accumulate: int) -> Place:
    """The place of a batch of an epoch.

    Args:
        batch_idx: in the epoch.
        trainer: in training.
        accumulate: batches per optimizer step.
    """
    index = batch_idx % accumulate
    left = trainer.num_training_batches - (batch_idx - index)
    return Place(index, int(min(accumulate, left)))
