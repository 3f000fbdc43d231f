"""Tensors that are computed when they are written, so that converting a model needs the memory of one tensor.

The conversions of this package rename, cut, join and turn tensors. Given deferred ones they run as they are, on shapes
alone, and what they return remembers what was done; :func:`computed` does it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map


class Deferred(Tensor):
    """A tensor on the meta device that knows how to become a real one; made by :func:`defer`."""

    make: Callable[[], Tensor]

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation on shapes, and remember it."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name.endswith("_") and not name.endswith("__"):
            raise TypeError(f"{name} changes a tensor in place, which a deferred one does not allow")
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*tree_map(_outline, args), **tree_map(_outline, kwargs))

        def run() -> Any:
            return func(*tree_map(_computed, args), **tree_map(_computed, kwargs))

        if isinstance(result, Tensor):
            return defer(result, run)
        if isinstance(result, tuple | list) and any(isinstance(part, Tensor) for part in result):
            return [defer(part, lambda index=index: run()[index]) for index, part in enumerate(result)]
        return result  # a shape, a dtype …


def defer(like: Tensor, make: Callable[[], Tensor]) -> Tensor:
    """A tensor that is made when it is needed.

    Args:
        like: on the meta device, of its shape and dtype.
        make: gives the tensor; called each time.
    """
    tensor = like.as_subclass(Deferred)
    tensor.make = make
    return tensor


def computed(tensors: Mapping[str, Tensor], device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """All of them, computed, in memory of their own (views of a file are not aligned: the last bit would differ)."""
    return {name: compute(tensor).to(device, copy=True) for name, tensor in tensors.items()}


def compute(tensor: Tensor) -> Tensor:
    """The tensor itself; a deferred one is computed, or is a view of the file that it comes from."""
    return tensor.make() if isinstance(tensor, Deferred) else tensor


def _computed(value: Any) -> Any:
    return compute(value) if isinstance(value, Tensor) else value


def _outline(value: Any) -> Any:
    if isinstance(value, Deferred):
        return value.as_subclass(Tensor)
    return value.to("meta") if isinstance(value, Tensor) else value
