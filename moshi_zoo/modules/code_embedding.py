"""Vectors for rows of codes, each row with a table of its own."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from moshi_zoo.gradient_sum import sum_of
from moshi_zoo.modules.initial import NormalEmbedding

NOTHING = -1
"""The code of a frame where a row has none: nothing goes in, and nothing is learnt there."""


class CodeEmbedding(NormalEmbedding):
    """Tables of several rows, one below the other; :data:`NOTHING` is a vector of zeros.

    Args:
        num_rows: R.
        num_codes: of a row V, special ones among them.
        dim: width D.
    """

    def __init__(self, num_rows: int, num_codes: int, dim: int):
        super().__init__(num_rows * num_codes, dim)
        self.num_rows, self.num_codes = num_rows, num_codes

    def forward(self, codes: Tensor, first: int = 0) -> Tensor:
        """The vectors of rows ``first``, ``first + 1``, …: int64 [rows, B] -> [rows, B, D]."""
        rows = torch.arange(first, first + len(codes), device=codes.device)[:, None]
        indices = codes.clamp(min=0) + rows * self.num_codes
        adds_itself = sum_of(self.weight) is not None and self.weight.is_cpu  # a GPU would add in any order
        vectors = _Rows.apply(indices, self.weight) if adds_itself else super().forward(indices)
        return vectors.masked_fill((codes == NOTHING)[..., None], 0)

    def one(self, codes: Tensor, row: int) -> Tensor:
        """The vectors of one row's codes: int64 [B] -> [B, D]."""
        vectors = self.weight.index_select(0, codes.clamp(min=0) + row * self.num_codes)
        return vectors.masked_fill((codes == NOTHING)[:, None], 0)

    def total(self, codes: Tensor) -> Tensor:
        """The sum of all rows' vectors, which are never held one by one: int64 [B, R, T] -> [B, T, D]."""
        rows = torch.arange(self.num_rows, device=codes.device)
        bags = codes.transpose(1, 2).flatten(0, 1)  # [B T, R]
        there = (bags != NOTHING).to(self.weight.dtype)
        total = F.embedding_bag(
            bags.clamp(min=0) + rows * self.num_codes, self.weight, mode="sum", per_sample_weights=there
        )
        return total.unflatten(0, (len(codes), -1))


class _Rows(torch.autograd.Function):
    """Rows of a table whose gradients are being added up: one as large as the table would be written for each piece."""

    @staticmethod
    def forward(ctx: Any, indices: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(indices)
        ctx.gradient_sum = sum_of(weight)
        return F.embedding(indices, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None]:
        ctx.gradient_sum.add_rows(ctx.saved_tensors[0], grad)
        return None, None
