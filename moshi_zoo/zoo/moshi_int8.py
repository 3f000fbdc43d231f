"""Moshi's int8 release (``model.q8.safetensors``) back to bfloat16.

Each product is there as int8 numbers and, under the name with ``_scb``, the largest magnitude of each row in float32:
what bitsandbytes' ``int8_vectorwise_quant`` makes. Embeddings and norms are as in the other release.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from moshi_zoo.zoo.names import Tensors

_SCALE = "_scb"


def is_int8(tensors: Mapping[str, Tensor]) -> bool:
    """Whether a file of Kyutai's holds quantized products."""
    return any(name.endswith(_SCALE) for name in tensors)


def dequantized(tensors: Mapping[str, Tensor]) -> Tensors:
    """The names and shapes of the plain release; products are rounded to bfloat16.

    Raises:
        ValueError: naming a scale that lacks its product, or does not fit it.
    """
    plain = {name: tensor for name, tensor in tensors.items() if not name.endswith(_SCALE)}
    for name in tensors.keys() - plain.keys():
        product, scale = name.removesuffix(_SCALE), tensors[name]
        if product not in plain:
            raise ValueError(f"{name} is the scale of {product}, which is missing")
        weight = plain[product]
        if weight.dtype != torch.int8 or scale.shape != weight.shape[:1]:
            raise ValueError(
                f"{name} has shape {list(scale.shape)} and {product} {list(weight.shape)} ({weight.dtype}): a scale "
                "needs a number for each row of an int8 product"
            )
        plain[product] = (weight.float() * (scale.float() / 127)[:, None]).bfloat16()
    return plain
