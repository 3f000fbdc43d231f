"""Adapters of Moshi in the layout of Kyutai's ``lora.safetensors``, bit for bit both ways.

Kyutai's adapt every product of the model, all with one rank, which config.json says with the scaling. For each step of
the depth transformer, and each extra classifier, theirs have a module where ours have one for all; in files of older
versions the attention products of all steps are packed, one below the other.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from moshi_zoo.modules.lora import LoraSize
from moshi_zoo.registry import Spec
from moshi_zoo.zoo import moshi_config, moshi_format
from moshi_zoo.zoo.fit import check_fit
from moshi_zoo.zoo.names import Tensors
from moshi_zoo.zoo.outline import outline

Attention = Literal["steps", "packed"]
_LEAVES = {"down": "lora_A.weight", "up": "lora_B.weight"}
_FIRST = "text_linear.lora_A.weight"
_DEFAULTS: dict[str, Any] = {"lora_rank": 128, "lora_scaling": 2.0}  # of the reference's loader
_STEP = re.compile(r"(.*\.self_attn\.(?:in|out)_proj)s\.\d+(\.lora_[AB]\.weight)")
_PACKED = re.compile(r"(.*\.self_attn\.(?:in|out)_proj)(\.lora_[AB]\.weight)")


def is_lora(tensors: Mapping[str, Tensor]) -> bool:
    """Whether a file of Kyutai's holds an adapter (and not a model)."""
    return any(name.endswith(".lora_A.weight") for name in tensors)


def kyutai_config(spec: Spec) -> dict[str, Any]:
    """What PyPI ``moshi`` keeps in config.json, for the complete portable spec of an adapter of a Moshi."""
    size = _size(spec)
    base = moshi_config.kyutai_config(spec["init_args"]["base"])
    return {**base, "lora": True, "lora_rank": _common_rank(size), "lora_scaling": size.scaling}


def spec_from_kyutai(tensors: Mapping[str, Tensor], base: Spec, config: Mapping[str, Any] | None) -> Spec:
    """The portable spec of an adapter.

    Args:
        tensors: of the file.
        base: portable spec of the Moshi that it adapts.
        config: the config.json beside it. None: there is none; the tensors then say the rank, and the scaling is the
            reference's default.

    Raises:
        ValueError: if the config is none of an adapter, or says another rank than the tensors have.
    """
    if _FIRST not in tensors or tensors[_FIRST].ndim != 2:
        raise ValueError(f"{_FIRST} is missing: an adapter of Kyutai's has tensors for every product of the model")
    rank = len(tensors[_FIRST])
    if config is None:
        config = {"lora": True, "lora_rank": rank}
    elif config.get("lora") is not True:
        raise ValueError(f"config.json says lora {config.get('lora')!r}: it is of a model; give the adapter its own")
    said = {**_DEFAULTS, **config}
    if said["lora_rank"] != rank:
        raise ValueError(f"{_FIRST} has rank {rank}, but config.json says lora_rank {said['lora_rank']!r}")
    scaling = said["lora_scaling"]
    if not isinstance(scaling, int | float) or isinstance(scaling, bool) or not abs(scaling) < 1e6:
        raise ValueError(f"config.json says lora_scaling {scaling!r}; it must be a number")
    return _uniform(base, rank, float(scaling))


def from_kyutai(tensors: Mapping[str, Tensor], spec: Spec) -> Tensors:
    """Kyutai's names -> ours.

    Args:
        tensors: of the file, in either layout.
        spec: of the adapter, portable.

    Raises:
        ValueError: naming the tensors that are missing, unknown, or of another shape than the model needs.
    """
    own = outline(spec).tensors
    expected = {theirs: piece for name, like in own.items() for theirs, piece in _pieces(name, like).items()}
    tensors = _unpacked(tensors, expected)
    check_fit(tensors, expected, promise="the model")
    return {
        name: torch.cat([tensors[theirs] for theirs in _pieces(name, like)]).view(like.shape)
        for name, like in own.items()
    }


def to_kyutai(tensors: Mapping[str, Tensor], spec: Spec, *, attention: Attention = "steps") -> Tensors:
    """Our names -> Kyutai's.

    Where ranks differ, the smaller ones are filled up with zeros, which compute the same.

    Args:
        tensors: all of the adapter's.
        spec: of the adapter, portable.
        attention: of the depth transformer: a tensor for each step, as in new files, or packed as in old ones.
    """
    size, dtype = _size(spec), next(iter(tensors.values())).dtype
    whole = outline(_uniform(spec["init_args"]["base"], _common_rank(size), size.scaling)).tensors
    theirs: Tensors = {}
    for name, like in whole.items():
        theirs |= _pieces(name, _filled_up(tensors.get(name), like.shape, dtype))
    return _packed(theirs) if attention == "packed" else theirs


def _pieces(name: str, tensor: Tensor) -> Tensors:
    """What one of our tensors is in Kyutai's layout."""
    path, _, leaf = name.rpartition(".")
    pieces = tensor.unbind() if tensor.ndim == 3 else (tensor,)
    modules = moshi_format.kyutai_modules(path, len(pieces))
    return {f"{module}.{_LEAVES[leaf]}": piece for module, piece in zip(modules, pieces, strict=True)}


def _filled_up(tensor: Tensor | None, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    if tensor is not None and tensor.shape == shape:
        return tensor
    whole = torch.zeros(shape, dtype=dtype)
    if tensor is not None:
        whole[..., : tensor.shape[-2], : tensor.shape[-1]] = tensor
    return whole


def _packed(tensors: Tensors) -> Tensors:
    packed, steps = {}, defaultdict(list)
    for name, tensor in tensors.items():
        if match := _STEP.fullmatch(name):
            steps[match[1] + match[2]].append(tensor)
        else:
            packed[name] = tensor
    return packed | {name: torch.cat(parts) for name, parts in steps.items()}


def _unpacked(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Tensors:
    num_steps = defaultdict(int)
    for name in expected:
        if match := _STEP.fullmatch(name):
            num_steps[match[1] + match[2]] += 1
    unpacked: Tensors = {}
    for name, tensor in tensors.items():
        if (match := _PACKED.fullmatch(name)) and num_steps[name] and tensor.ndim:
            parts = {
                f"{match[1]}s.{index}{match[2]}": part
                for index, part in enumerate(tensor.tensor_split(num_steps[name]))
            }
            if twice := parts.keys() & tensors.keys():
                raise ValueError(f"{name} is {min(twice)}, too, and both are there: which one counts?")
            unpacked |= parts
        else:
            unpacked[name] = tensor
    return unpacked


def _size(spec: Spec) -> LoraSize:
    return LoraSize(**spec["init_args"]["size"])


def _common_rank(size: LoraSize) -> int:
    return max(size.temporal, size.depth, size.heads)


def _uniform(base: Spec, rank: int, scaling: float) -> Spec:
    size = {"temporal": rank, "depth": rank, "heads": rank, "scaling": scaling}
    return {"component": "lora", "init_args": {"base": base, "size": size}}
