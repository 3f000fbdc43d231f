"""Layers whose weights are quantised, in the place of those that were trained."""

import math
from collections.abc import Callable, Iterator
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from moshi_zoo.modules.linear import Linear
from moshi_zoo.modules.lora_layers import Adapted
from moshi_zoo.modules.quantised_weight import Float16Weight, Int4Weight, Int8Weight, QuantisedWeight
from moshi_zoo.modules.step_linear import StepLinear

Precision = Literal["float16", "int8", "int4"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
Kind = Callable[[Tensor], QuantisedWeight]
_KINDS: dict[Precision, Kind] = {"float16": Float16Weight, "int8": Int8Weight, "int4": Int4Weight}
_FEW = 2**18  # numbers of a weight; fewer are multiplied sooner than a quantised product is made ready
_LARGE = 4  # times as many: from here on int8 is faster than float16, whose product is made ready sooner


def quantise(module: nn.Module, precision: Precision = "int8", *, smallest: int = _FEW) -> None:
    """Quantise the weights of products in place, for generation on a CPU; embeddings and norms stay as they are.

    With int8, weights that are not large have float16: less would not be faster. With int4, those of output products,
    whose errors nothing after them corrects, have int8. What is quantised can be neither trained, saved nor moved to
    another device: load the model again.

    Args:
        module: a model, such as :class:`Moshi` or :class:`Helium`, or a part of one.
        precision: of the weights.
        smallest: weights of fewer numbers stay as they are. By default those of which nothing is gained: a nano model
            has no others.

    Raises:
        ValueError: if the module is not on a CPU, uses adapters that are not merged, or ``precision`` is none of these.
    """
    if precision not in _KINDS:
        raise ValueError(f"precision {precision!r} is not known here: use {', '.join(_KINDS)}")
    for parent, name, layer in list(_products(module, smallest)):
        if layer.weight.device.type != "cpu":
            raise ValueError(f"quantised weights are for CPUs, and {name} is on {layer.weight.device}: use bfloat16")
        if isinstance(layer, Adapted) and layer.beside is not None:
            raise ValueError(f"{name} has an adapter beside its weight: merge it first (use_adapter(..., merged=True))")
        kind = _KINDS[_chosen(precision, name, _numbers(layer) < _LARGE * smallest)]
        new = QuantisedLinear(layer, kind) if isinstance(layer, Linear) else QuantisedStepLinear(layer, kind)
        setattr(parent, name, new)


class QuantisedLinear(nn.Module):
    """A :class:`Linear` whose weight is quantised.

    Args:
        layer: the trained one.
        kind: makes the weight.
    """

    def __init__(self, layer: Linear, kind: Kind):
        super().__init__()
        self.quantised = kind(layer.weight)
        self.bias = None if layer.bias is None else layer.bias.detach()

    @property
    def weight(self) -> Tensor:
        """As the products see it, float32 [M, N]; made anew each time."""
        return self.quantised.dense()

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """[..., N] -> [..., M]."""
        y = _times(x, self.quantised)
        return y if self.bias is None else y + self.bias


class QuantisedStepLinear(nn.Module):
    """A :class:`StepLinear` whose weights are quantised.

    Args:
        layer: the trained one.
        kind: makes the weights.
    """

    def __init__(self, layer: StepLinear, kind: Kind):
        super().__init__()
        self.schedule = layer.schedule
        self.quantised = [kind(weight) for weight in layer.weight]

    @property
    def weight(self) -> Tensor:
        """As the products see it, float32 [sets, M, N]; made anew each time."""
        return torch.stack([weight.dense() for weight in self.quantised])

    @torch.no_grad()
    def forward(self, x: Tensor, first: int = 0) -> Tensor:
        """Steps ``first``, ``first + 1``, …: [steps, B, N] -> [steps, B, M]."""
        steps = self.schedule[first : first + len(x)]
        if len(steps) == 1:
            return _times(x, self.quantised[steps[0]])
        return torch.stack([_times(part, self.quantised[step]) for part, step in zip(x, steps, strict=True)])

    @torch.no_grad()
    def step(self, x: Tensor, index: int) -> Tensor:
        """One step alone: [B, N] -> [B, M]."""
        return _times(x, self.quantised[self.schedule[index]])

    @torch.no_grad()
    def each(self, x: Tensor) -> Tensor:
        """One input for all steps, one product for each set of weights: [..., N] -> [sets, ..., M]."""
        return torch.stack([_times(x, weight) for weight in self.quantised])


def _products(module: nn.Module, smallest: int) -> Iterator[tuple[nn.Module, str, Linear | StepLinear]]:
    for parent in module.modules():
        for name, layer in parent.named_children():
            if isinstance(layer, Linear | StepLinear) and _numbers(layer) >= smallest:
                yield parent, name, layer


def _chosen(precision: Precision, name: str, is_small: bool) -> Precision:
    if precision == "int4" and name == "output":
        precision = "int8"
    return "float16" if precision == "int8" and is_small else precision


def _numbers(layer: Linear | StepLinear) -> int:
    """That one product reads."""
    return math.prod(layer.weight.shape[-2:])


def _times(x: Tensor, weight: QuantisedWeight) -> Tensor:
    return weight.product(x.flatten(0, -2).float()).to(x.dtype).view(*x.shape[:-1], -1)
