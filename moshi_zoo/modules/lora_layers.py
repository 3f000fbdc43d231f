"""Products with low-rank adapters beside them (LoRA, arXiv 2106.09685); :mod:`moshi_zoo.modules.lora` puts them there.

Beside a product W x stands scaling * B (A x), with A [r, N] and B [M, r] for a weight W [M, N]. The scaling is used as
it is, not divided by the rank, as in Kyutai's.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from moshi_zoo.modules.linear import Linear, linear
from moshi_zoo.modules.step_linear import StepLinear, each_linear, step_linear


class LowRank(nn.Module):
    """What one adapter has for one layer.

    Args:
        shape: of the layer's weight, [M, N] or [sets, M, N].
        rank: r.
        scaling: of what it adds.
        device: where its numbers live.
    """

    def __init__(self, shape: Sequence[int], rank: int, scaling: float, *, device: torch.device | None = None):
        super().__init__()
        *sets, M, N = shape
        self.scaling = scaling
        # in float32 even beside a weight of half precision, in which the small steps of training would be rounded away
        self.down = nn.Parameter(torch.empty(*sets, rank, N, dtype=torch.float32, device=device))  # A
        self.up = nn.Parameter(torch.empty(*sets, M, rank, dtype=torch.float32, device=device))  # B
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """A as PyTorch's linear layers (Kaiming uniform with a = sqrt 5), B zeros."""
        bound = self.down.shape[-1] ** -0.5
        nn.init.uniform_(self.down, -bound, bound)
        nn.init.zeros_(self.up)

    @property
    def weight_shape(self) -> torch.Size:
        """Of the layer's weight that it is made for."""
        return self.up.shape[:-1] + self.down.shape[-1:]

    def factors(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """A and B in the dtype of the layer's input."""
        return self.down.to(dtype), self.up.to(dtype)

    def product(self) -> Tensor:
        """What it adds to the weight, float32."""
        with torch.autocast(self.up.device.type, enabled=False):
            return self.scaling * (self.up.float() @ self.down.float())

    @torch.no_grad()
    def merged_into(self, weight: Tensor) -> Tensor:
        """The weight with what it adds, rounded once to the weight's dtype."""
        return (weight.float() + self.product()).to(weight.dtype)


class Adapted(nn.Module):
    """A layer with room for adapters: submodules ``lora_NAME``.

    Attributes:
        weight: of the plain layer, under its name.
        active: name of the adapter in use.
        unmerged: the weight as it was, while an adapter is merged into it.
    """

    weight: nn.Parameter
    active: str | None = None
    unmerged: Tensor | None = None

    @property
    def beside(self) -> LowRank | None:
        """The adapter that must be computed beside the product."""
        return None if self.unmerged is not None else self.adapter(self.active)

    def adapter(self, name: str | None) -> LowRank | None:
        """One by its name, if this layer has it."""
        return None if name is None else getattr(self, f"lora_{name}", None)

    def plain(self) -> nn.Module:
        """The layer without adapters, with the weight as it is now."""
        raise NotImplementedError

    @torch.no_grad()
    def use(self, name: str | None, *, merged: bool) -> None:
        """Switch to an adapter, beside the weight or merged into it."""
        if self.unmerged is not None:
            self.weight.copy_(self.unmerged)
        self.active, self.unmerged = name, None
        if merged and (adapter := self.adapter(name)) is not None:
            self.unmerged = self.weight.clone()
            self.weight.copy_(adapter.merged_into(self.unmerged))


class LoraLinear(Adapted, Linear):
    """A :class:`Linear` with adapters.

    Args:
        layer: the plain one; its parameters become this one's.
    """

    def __init__(self, layer: Linear):
        super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        self.weight, self.bias = cast("nn.Parameter", layer.weight), layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """[..., N] -> [..., M]."""
        y, lora = super().forward(x), self.beside
        if lora is None:
            return y
        down, up = lora.factors(x.dtype)
        return torch.add(y, linear(linear(x, down), up), alpha=lora.scaling)

    def plain(self) -> Linear:
        """The layer without adapters, with the weight as it is now."""
        layer = Linear(self.in_features, self.out_features, bias=self.bias is not None, device="meta")
        layer.weight, layer.bias = self.weight, self.bias
        return layer


class LoraStepLinear(Adapted, StepLinear):
    """A :class:`StepLinear` with adapters, one for each set of weights.

    Args:
        layer: the plain one; its parameters become this one's.
    """

    def __init__(self, layer: StepLinear):
        super().__init__(layer.in_features, layer.out_features, layer.schedule, initial=layer.initial, device="meta")
        self.weight = layer.weight

    def forward(self, x: Tensor, first: int = 0) -> Tensor:
        """[steps, B, N] -> [steps, B, M]."""
        y, lora = super().forward(x, first), self.beside
        if lora is None:
            return y
        schedule = self.schedule[first : first + len(x)]
        down, up = lora.factors(x.dtype)
        return torch.add(y, step_linear(step_linear(x, down, schedule), up, schedule), alpha=lora.scaling)

    def step(self, x: Tensor, index: int) -> Tensor:
        """[B, N] -> [B, M]."""
        return super().step(x, index) if self.beside is None else self(x[None], index)[0]

    def each(self, x: Tensor) -> Tensor:
        """[..., N] -> [sets, ..., M]."""
        y, lora = super().each(x), self.beside
        if lora is None:
            return y
        down, up = lora.factors(x.dtype)
        return torch.add(y, torch.einsum("s...r,smr->s...m", each_linear(x, down), up), alpha=lora.scaling)

    def plain(self) -> StepLinear:
        """The layer without adapters, with the weight as it is now."""
        layer = StepLinear(self.in_features, self.out_features, self.schedule, initial=self.initial, device="meta")
        layer.weight = self.weight
        return layer
