"""The gated feed-forward layer of Kyutai's language models: SwiGLU (arXiv 2002.05202), without biases."""

import torch.nn.functional as F
from torch import Tensor, nn

from moshi_zoo.modules.linear import Linear


def gated_width(dim: int, hidden_scale: float) -> int:
    """The inner width that the reference gives a gated layer, so that it costs as much as a plain one.

    A plain layer of width ``hidden_scale * dim`` has two matrices, a gated one three: two thirds of the width. Scale 4
    is rounded otherwise, as in the reference.

    Args:
        dim: width of the model.
        hidden_scale: of the plain layer; 4.125 in Helium.
    """
    plain = int(hidden_scale * dim)
    return 21 * dim // 8 if plain == 4 * dim else 2 * plain // 3


class SwiGLU(nn.Module):
    """out(silu(gate(x)) * up(x)); gate and up come from one product.

    Args:
        dim: width.
        hidden_dim: inner width.
        linear: makes the products.
    """

    def __init__(self, dim: int, hidden_dim: int, *, linear: type[Linear] = Linear):
        super().__init__()
        self.in_proj = linear(dim, 2 * hidden_dim, bias=False)  # rows: gate, up
        self.out_proj = linear(hidden_dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., D]."""
        gate, up = self.in_proj(x).chunk(2, dim=-1)
        return self.out_proj(F.silu(gate) * up)
