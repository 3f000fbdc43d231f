"""Names and shapes of a model's tensors, without its memory."""

import functools
import json
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from moshi_zoo import registry
from moshi_zoo.registry import Spec


@dataclass(frozen=True)
class Outline:
    """What a model's state dict is like.

    Args:
        tensors: by name, on the meta device.
        num_parameters: how many numbers gradient descent sets.
    """

    tensors: MappingProxyType[str, Tensor]
    num_parameters: int


def outline(spec: Spec) -> Outline:
    """That of a portable ``{component, init_args}``; remembered, for laying out a model takes a second."""
    return _outline(json.dumps(spec, sort_keys=True))


def laid_out(spec: Spec) -> nn.Module:
    """The model itself on the meta device."""
    with torch.device("meta"):
        return registry.instantiate(registry.from_portable(spec))


@functools.lru_cache(maxsize=32)
def _outline(spec: str) -> Outline:
    module = laid_out(json.loads(spec))
    return Outline(MappingProxyType(module.state_dict()), sum(p.numel() for p in module.parameters()))
