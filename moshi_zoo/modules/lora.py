"""Low-rank adapters (LoRA, arXiv 2106.09685): a network learns a voice or a task in a few percent of its numbers.

Several adapters, each with its name, can stand beside one network, which uses one of them or none; a new one changes
nothing yet. The network's own tensors keep their names, and layers without an adapter stay the plain ones. Adapt a
network before it is compiled or sharded: adapted layers are new modules, with the parameters of the old ones.

    add_adapter(net, LoraSize(temporal=16, depth=16))     # freezes all else
    ...                                                   # train
    tensors = adapter_state_dict(net)                     # the adapter alone
    use_adapter(net, None)                                # off
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from moshi_zoo.modules.linear import Linear
from moshi_zoo.modules.lora_layers import Adapted, LoraLinear, LoraStepLinear, LowRank
from moshi_zoo.modules.step_linear import StepLinear
from moshi_zoo.registry import register, unknown

DEFAULT = "default"
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_TENSOR = re.compile(r".*\.lora_[A-Za-z0-9_-]+\.(down|up)")


@dataclass(frozen=True)
class LoraSize:
    """Ranks of an adapter in the parts of a network; 0: none there.

    Args:
        temporal: in the temporal transformer; in a text model, in its trunk.
        depth: in the depth transformer.
        heads: in the output products of text, codes and extra classifiers.
        scaling: of what the adapter adds.

    Raises:
        ValueError: if a rank is negative.
    """

    temporal: int = 0
    depth: int = 0
    heads: int = 0
    scaling: float = 2.0

    def __post_init__(self) -> None:
        for part in ("temporal", "depth", "heads"):
            if (rank := getattr(self, part)) < 0:
                raise ValueError(f"the rank of {part} is {rank}; it must be 0 (no adapter there) or more")

    def rank(self, layer: str) -> int:
        """The rank in a layer, by its path in the network."""
        if layer.startswith("extra_heads.") or layer.split(".")[-1] == "output":
            return self.heads
        return self.depth if layer.startswith("depth.") else self.temporal


@register("lora")
class Lora(nn.Module):
    """An adapter apart from its network, as it is published: its tensors, by the paths of the layers they belong to.

    Args:
        base: makes the network that it adapts; only its shapes are needed.
        size: ranks.
    """

    def __init__(self, *, base: Callable[[], nn.Module], size: LoraSize):
        super().__init__()
        self.size = size
        with torch.device("meta"):
            net = base()
        for path, layer, rank in _ranked(net, size):
            *parents, leaf = path.split(".")
            node: nn.Module = self
            for name in parents:
                if name not in node._modules:
                    node.add_module(name, nn.Module())
                node = node.get_submodule(name)
            node.add_module(leaf, LowRank(layer.weight.shape, rank, size.scaling))

    def adapters(self) -> dict[str, LowRank]:
        """Path of a layer -> what there is for it."""
        return {path: module for path, module in self.named_modules() if isinstance(module, LowRank)}


def add_adapter(net: nn.Module, size: LoraSize, name: str = DEFAULT) -> None:
    """Give a network a new adapter, use it, and let nothing else learn.

    Args:
        net: the network, changed in place.
        size: ranks.
        name: of the adapter, unlike those that are there.

    Raises:
        ValueError: if the name is taken or none, or no layer gets an adapter.
    """
    adapters = {
        path: LowRank(layer.weight.shape, rank, size.scaling, device=layer.weight.device)
        for path, layer, rank in _ranked(net, size)
    }
    attach_adapter(net, adapters, name)
    net.requires_grad_(requires_grad=False)
    for adapter in adapters.values():
        adapter.requires_grad_()


def attach_adapter(net: nn.Module, adapters: Mapping[str, LowRank], name: str = DEFAULT) -> None:
    """Put an adapter that exists already beside a network, and use it.

    Args:
        net: the network, changed in place.
        adapters: path of a layer -> what there is for it, such as :meth:`Lora.adapters`.
        name: of the adapter, unlike those that are there.

    Raises:
        ValueError: if the name is taken or none, or a layer is not there or has another shape.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"an adapter cannot be called {name!r}: use letters, digits, - and _")
    if name in adapter_names(net):
        raise ValueError(f"the network has an adapter called {name!r} already: give the new one another name")
    layers = _layers(net)
    for path, adapter in adapters.items():
        if path not in layers:
            raise ValueError(f"the adapter is of another network: {unknown('layer', path, layers)}")
        found, needed = list(adapter.weight_shape), list(layers[path].weight.shape)
        if found != needed:
            raise ValueError(f"the adapter of {path} is for a weight {found}, but the network's is {needed}")
    for path, adapter in adapters.items():
        _adapted_layer(net, path).add_module(f"lora_{name}", adapter)
    use_adapter(net, name)


def use_adapter(net: nn.Module, name: str | None, *, merged: bool = False) -> None:
    """Switch to another adapter.

    Args:
        net: the network.
        name: of the adapter; None: the network as it was.
        merged: add it to the weights (in float32, rounded once), so that the network is as fast as without one. The
            weights as they were are kept for the way back: they take their memory once more.

    Raises:
        ValueError: if there is no such adapter.
    """
    if name is not None:
        _check_name(net, name)
    for layer in _adapted(net).values():
        layer.use(name, merged=merged)


def remove_adapters(net: nn.Module) -> None:
    """Make a plain network of an adapted one, all of which can learn again.

    Its weights are what they are: an adapter that is merged into them stays there for good, all others are gone.
    """
    for path, layer in _adapted(net).items():
        _replace(net, path, layer.plain())
    net.requires_grad_()


def adapter_names(net: nn.Module) -> list[str]:
    """Names of the adapters beside a network."""
    names = {name for layer in _adapted(net).values() for name, _ in layer.named_children()}
    return sorted(name.removeprefix("lora_") for name in names)


def adapter_state_dict(net: nn.Module, name: str = DEFAULT) -> dict[str, Tensor]:
    """The tensors of one adapter, by the names of :class:`Lora`: ``PATH.down`` and ``PATH.up``.

    Raises:
        ValueError: if there is no such adapter.
    """
    _check_name(net, name)
    adapters = {path: layer.adapter(name) for path, layer in _adapted(net).items()}
    return {f"{path}.{leaf}": x for path, lora in adapters.items() if lora for leaf, x in lora.state_dict().items()}


def is_adapter_tensor(name: str) -> bool:
    """Whether a tensor in the state dict of an adapted network belongs to an adapter."""
    return _TENSOR.fullmatch(name) is not None


def weight_in_use(layer: nn.Module) -> Tensor:
    """The weight that a layer multiplies with, adapter and all: for losses, which take the last product on themselves.

    Args:
        layer: an output product, adapted or not.
    """
    weight = cast("Tensor", layer.weight)
    lora = layer.beside if isinstance(layer, Adapted) else None
    return weight if lora is None else weight + lora.product()


def _layers(net: nn.Module) -> dict[str, Linear | StepLinear]:
    """All that can have adapters, by path."""
    return {path: layer for path, layer in net.named_modules() if isinstance(layer, Linear | StepLinear)}


def _adapted(net: nn.Module) -> dict[str, Adapted]:
    """All that have adapters, by path."""
    return {path: layer for path, layer in net.named_modules() if isinstance(layer, Adapted)}


def _ranked(net: nn.Module, size: LoraSize) -> list[tuple[str, Linear | StepLinear, int]]:
    """Path, layer and rank of all layers that get an adapter."""
    ranked = [(path, layer, size.rank(path)) for path, layer in _layers(net).items() if size.rank(path)]
    if not ranked:
        raise ValueError(f"{size} adapts no layer of a {type(net).__name__}: give one of its parts a rank above 0")
    return ranked


def _adapted_layer(net: nn.Module, path: str) -> Adapted:
    """The layer at a path, which gets room for adapters if it has none."""
    layer = net.get_submodule(path)
    if isinstance(layer, Adapted):
        return layer
    new = LoraLinear(layer) if isinstance(layer, Linear) else LoraStepLinear(cast("StepLinear", layer))
    _replace(net, path, new)
    return new


def _replace(net: nn.Module, path: str, new: nn.Module) -> None:
    parent, _, leaf = path.rpartition(".")
    owner = net.get_submodule(parent)
    setattr(owner, leaf, new.train(owner.training))


def _check_name(net: nn.Module, name: str) -> None:
    if name not in (names := adapter_names(net)):
        raise ValueError(unknown("adapter of this network", name, names))
