"""Adapters in zoo folders of their own (component ``lora``): saved apart from their model, put beside exactly that one.

An adapter's first parent is the model that it adapts: the weights that stood still while it learnt.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from moshi_zoo.modules.lora import DEFAULT, Lora, LoraSize, attach_adapter
from moshi_zoo.modules.lora_layers import LowRank
from moshi_zoo.registry import Spec
from moshi_zoo.zoo import folder
from moshi_zoo.zoo.config import ZooConfig, read_config
from moshi_zoo.zoo.deferred import compute, computed, defer
from moshi_zoo.zoo.names import Tensors


def adapter_spec(base: Spec, size: LoraSize) -> Spec:
    """The portable spec of an adapter.

    Args:
        base: portable spec of the model that it adapts.
        size: its ranks.
    """
    return {"component": "lora", "init_args": {"base": base, "size": asdict(size)}}


def load_adapter(net: nn.Module, adapter: Path, *, base: Path, name: str = DEFAULT) -> None:
    """Put an adapter beside a model and use it, in the model's dtype.

    Args:
        net: the model, as loaded from its zoo folder; changed in place.
        adapter: zoo folder of the adapter.
        base: zoo folder of the model.
        name: to call it by in :func:`use_adapter`.

    Raises:
        ValueError: if that is no adapter, or one of another model.
    """
    lora = _read(adapter, base)
    weight = next(net.parameters())
    attach_adapter(net, lora.to(weight.device, weight.dtype).adapters(), name)


def merged_weights(base: Path, adapter: Path) -> Tensors:
    """The weights of a model with an adapter added to them, in float32 and rounded once.

    Args:
        base: zoo folder of the model.
        adapter: zoo folder of the adapter.

    Raises:
        ValueError: if that is no adapter, or one of another model.
    """
    return computed(open_merged_weights(base, adapter))


def open_merged_weights(base: Path, adapter: Path) -> Tensors:
    """As :func:`merged_weights`, each computed when it is needed (:mod:`moshi_zoo.zoo.deferred`)."""
    lora, tensors = _read(adapter, base), folder.open_weights(base)
    return tensors | {
        f"{path}.weight": _merged(part, tensors[f"{path}.weight"]) for path, part in lora.adapters().items()
    }


def config_with_adapter(base: Path, adapter: Path) -> ZooConfig:
    """The config of a model with an adapter: what the adapter has learnt beside it counts, too.

    Args:
        base: zoo folder of the model.
        adapter: zoo folder of the adapter.
    """
    config, added = read_config(base), read_config(adapter)
    text_layout = config.text_layout.extended(added.text_layout)
    return replace(config, text_layout=text_layout, sampling=added.sampling or config.sampling)


def _merged(part: LowRank, weight: Tensor) -> Tensor:
    return defer(torch.empty_like(weight, device="meta"), lambda: part.merged_into(compute(weight)))


def _read(adapter: Path, base: Path) -> Lora:
    config = read_config(adapter)
    if config.component != "lora":
        raise ValueError(f"{adapter} is a {config.component}, which is no adapter")
    if not config.parents:
        raise ValueError(f"{adapter}: its config.yaml names no parent, so that nobody knows which model it adapts")
    needed, found = config.parents[0], read_config(base)
    if needed.sha256 != found.sha256:
        raise ValueError(
            f"{adapter} adapts {needed.name} with the sha256 {needed.sha256[:12]}…, but {base} has "
            f"{found.sha256[:12]}…: an adapter fits only the weights beside which it learnt"
        )
    if config.text_layout.contradicts(found.text_layout):
        raise ValueError(
            f"{adapter} has learnt with the text layout {config.text_layout}, but {base} with {found.text_layout}: "
            "together they would write neither. Train it anew; without data.text_of, it learns as its model did"
        )
    return cast("Lora", folder.load(adapter))
