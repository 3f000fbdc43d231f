"""Streaming by explicit state: ``module(x, state)`` continues a stream, ``module(x)`` is a whole one.

A streaming module has two methods::

    state = module.init_state(batch_size)   # preallocated tensors, batch first
    y = module(x, state)                    # reads the state, then updates it in place

``state=None`` means "zeros before the start, keep nothing"; the same lines run. States are plain dataclasses: copy one
with :meth:`State.copy` to fork a stream, reset or pause single rows of a batch, hold as many as you like for one model.
They are updated in place, so that CUDA graphs can replay a step.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn


@dataclass(kw_only=True)
class State:
    """Base of all streaming states: a tree of dataclasses whose leaves are tensors with the batch first.

    Args:
        active: bool [B]; rows that are False keep their state whatever comes in, and their output means nothing.
            None: all rows move on. Set it with :meth:`set_active`.
    """

    active: Tensor | None = None

    def reset(self, rows: Tensor | None = None) -> None:
        """Start the given rows (bool [B]; None: all) anew, without touching the others."""
        for value in self._values():
            if isinstance(value, State):
                value.reset(rows)
            elif rows is None:
                value.zero_()
            else:
                value.masked_fill_(_per_row(rows, value), 0)

    def set_active(self, rows: Tensor | None) -> None:
        """Let only these rows (bool [B]; None: all) move on from now; the tensor is kept, not copied."""
        self.active = rows
        for value in self._values():
            if isinstance(value, State):
                value.set_active(rows)

    def copy(self) -> Self:
        """An independent copy: the stream forks here."""
        return copy.deepcopy(self)

    def write(self, old: Tensor, new: Tensor) -> None:
        """Replace one of this state's tensors, in place, in the active rows."""
        old.copy_(new if self.active is None else torch.where(_per_row(self.active, old), new, old))

    def _values(self) -> Iterator["Tensor | State"]:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "active" and not isinstance(value, int | None):
                yield from value if isinstance(value, list) else [value]


@runtime_checkable
class Streamable(Protocol):
    """What a module needs to be streamed."""

    def init_state(self, batch_size: int) -> State:
        """A state at the start of a stream, on the module's device and in its dtype."""
        ...

    def __call__(self, x: Tensor, state: Any = None) -> Tensor:
        """Process the next chunk."""
        ...


@dataclass(kw_only=True)
class ChainState(State):
    """States of the streaming members of a chain, in order."""

    members: list[State]


class StreamingSequential(nn.Sequential):
    """A chain of modules, some of which have a state."""

    def init_state(self, batch_size: int) -> ChainState:
        """States of the members that have one."""
        return ChainState(members=[m.init_state(batch_size) for m in self if isinstance(m, Streamable)])

    def forward(self, x: Tensor, state: ChainState | None = None) -> Tensor:
        """Pass ``x`` through all members."""
        states = iter(state.members if state else ())
        for module in self:
            x = module(x, next(states, None)) if isinstance(module, Streamable) else module(x)
        return x


def _per_row(rows: Tensor, like: Tensor) -> Tensor:
    return rows.view(-1, *[1] * (like.dim() - 1))
