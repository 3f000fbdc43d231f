"""Weights of sixteen, eight or four bits for products on a CPU: what is read for each token shrinks.

Weight-only: activations keep their precision. PyTorch's own kernels are used, those that were the fastest for the few
rows that streams bring: FBGEMM's for sixteen and eight bits, and the packed one for four.
"""

import itertools
import warnings
from abc import ABC, abstractmethod
from typing import Any
from weakref import WeakValueDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

_MIDDLE, _STEPS = 64, 63  # activations become 64 - 63 .. 64 + 63: with more, the kernel's 16-bit sums could overflow
_FINER = 2 * _STEPS  # what is rounded off, up to half a step, takes all steps again when it is so many times as large
_GROUP, _ROWS = 32, 16  # of the four-bit kernel: columns that share a scale, and what rows come in


class QuantisedWeight(ABC):
    """A weight W [M, N].

    Args:
        weight: as trained.
    """

    def __init__(self, weight: Tensor):
        self.shape, self._key = weight.shape, next(_KEYS)
        _KNOWN[self._key] = self

    def product(self, x: Tensor) -> Tensor:
        """The product x W^T: float32 [B, N] -> [B, M]. To a compiler it is one operation; it knows none of these."""
        return _product(x, self._key, self.shape[0]) if torch.compiler.is_compiling() else self.times(x)

    @abstractmethod
    def times(self, x: Tensor) -> Tensor:
        """The same, by operations of PyTorch's."""

    @abstractmethod
    def dense(self) -> Tensor:
        """The weight as it is now, float32 [M, N]."""


_KEYS = itertools.count()  # in each process from 0, so that what is compiled in one is found by the next
_KNOWN: WeakValueDictionary[int, QuantisedWeight] = WeakValueDictionary()


@torch.library.custom_op("moshi_zoo::quantised_product", mutates_args=())
def _product(x: Tensor, key: int, num_rows: int) -> Tensor:
    return _KNOWN[key].times(x)


@_product.register_fake
def _(x: Tensor, key: int, num_rows: int) -> Tensor:
    return x.new_empty(len(x), num_rows)


class Float16Weight(QuantisedWeight):
    """Half precision: next to nothing changes. Also by far the fastest exact way to multiply two to eight rows.

    Args:
        weight: [M, N].
    """

    def __init__(self, weight: Tensor):
        super().__init__(weight)
        self._packed: Any = torch.ops.quantized.linear_prepack_fp16(weight.detach().float().contiguous(), None)
        self._multiply = torch.ops.quantized.linear_dynamic_fp16.default

    def times(self, x: Tensor) -> Tensor:
        """The product x W^T: float32 [B, N] -> [B, M]."""
        return self._multiply(x, self._packed)

    def dense(self) -> Tensor:
        """The weight as it is now, float32 [M, N]."""
        return torch.ops.quantized.linear_unpack_fp16(self._packed)[0].float()


class Int8Weight(QuantisedWeight):
    """Eight bits, symmetric, with a scale for each row.

    The kernel takes activations of seven bits. Those alone would cost more precision than the weights do, by far where
    single channels are large. So each row comes twice, rounded and then what was rounded off, :data:`_FINER` times as
    large: the weight is read once all the same, and the sum of both is the product with activations of 14 bits. Each
    row has a scale of its own, so that no stream sees its neighbours.

    Args:
        weight: [M, N].
    """

    def __init__(self, weight: Tensor):
        super().__init__(weight)
        weight = weight.detach().float()
        scales = _nonzero(weight.abs().amax(1)) / 127
        with warnings.catch_warnings():  # the tensors of this dtype will go; what is packed here is none of them
            warnings.filterwarnings("ignore", message=".*quantized tensor creation functions.*")
            codes = torch.quantize_per_channel(
                weight, scales.double(), torch.zeros(len(weight), dtype=torch.int64), 0, torch.qint8
            )
        self._packed: Any = torch.ops.quantized.linear_prepack(codes.contiguous(), None)
        self._multiply = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default

    def times(self, x: Tensor) -> Tensor:
        """The product x W^T: float32 [B, N] -> [B, M]."""
        largest = _nonzero(torch.linalg.vector_norm(x, torch.inf, dim=-1, keepdim=True))  # [B, 1]
        x = x / largest
        rounded = torch.fake_quantize_per_tensor_affine(x, 1 / _STEPS, _MIDDLE, 1, 2 * _MIDDLE - 1)
        both = torch.cat([x, (x - rounded).mul_(_FINER)])
        y = self._multiply(both, 1 / _STEPS, _MIDDLE, self._packed)
        return torch.add(y[: len(x)], y[len(x) :], alpha=1 / _FINER).mul_(largest)

    def dense(self) -> Tensor:
        """The weight as it is now, float32 [M, N]."""
        return torch.ops.quantized.linear_unpack(self._packed)[0].dequantize()


class Int4Weight(QuantisedWeight):
    """Four bits, with a scale and an offset for each 32 columns of a row; activations are rounded to bfloat16.

    An eighth of the memory; the kernel takes longer than that for eight bits.

    Args:
        weight: [M, N].
    """

    def __init__(self, weight: Tensor):
        super().__init__(weight)
        rows, columns = (-size % whole for size, whole in zip(weight.shape, (_ROWS, _GROUP), strict=True))
        groups = F.pad(weight.detach().float(), (0, columns, 0, rows)).unflatten(1, (-1, _GROUP))  # [M, groups, 32]
        low, high = groups.aminmax(dim=-1)
        # what the kernel multiplies with: (code - 8) * scale + offset
        scales = _nonzero((high - low) / 15).bfloat16()
        offsets = (low + 8 * scales.float()).bfloat16()
        codes = ((groups - offsets.float()[..., None]) / scales.float()[..., None]).round_().add_(8).clamp_(0, 15)
        self._padding = columns
        self._packed = torch._convert_weight_to_int4pack_for_cpu(codes.flatten(1).int(), 1)
        self._scales = torch.stack([scales, offsets], dim=-1).transpose(0, 1).contiguous()  # [groups, M, 2]

    def times(self, x: Tensor) -> Tensor:
        """The product x W^T: float32 [B, N] -> [B, M]."""
        x = F.pad(x, (0, self._padding)).bfloat16()
        y = torch._weight_int4pack_mm_for_cpu(x, self._packed, _GROUP, self._scales)
        return y[:, : self.shape[0]].float()

    def dense(self) -> Tensor:
        """The weight as it is now, float32 [M, N]."""
        M, N = self.shape
        return self.times(torch.eye(N)).t().contiguous().view(M, N)


def _nonzero(x: Tensor) -> Tensor:
    return x.clamp(min=torch.finfo(torch.float32).tiny)
