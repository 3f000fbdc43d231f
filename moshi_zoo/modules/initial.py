"""How Kyutai's language models start: truncated normal weights (the reference's ``init_layer``)."""

import math

import torch
from torch import Tensor, nn

from moshi_zoo.modules.linear import Linear

_CUT = 3.0  # deviations


@torch.no_grad()
def truncated_normal_(weight: Tensor, fan_in: int) -> None:
    """Fill with a normal distribution of deviation 1 / sqrt(fan_in), cut at three deviations.

    Through the inverse of its distribution function and in place; PyTorch's own takes several times the memory.
    """
    deviation, share = fan_in**-0.5, math.erf(_CUT / math.sqrt(2))
    weight.uniform_(-share, share).erfinv_().mul_(deviation * math.sqrt(2))
    weight.clamp_(-_CUT * deviation, _CUT * deviation)  # in half precision the ends may round to infinity


class NormalLinear(Linear):
    """A ``Linear`` that starts truncated normal; without a bias."""

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        assert self.bias is None
        truncated_normal_(self.weight, self.in_features)


class NormalEmbedding(nn.Embedding):
    """An ``Embedding`` that starts truncated normal."""

    def reset_parameters(self) -> None:
        """Draw the vectors anew."""
        truncated_normal_(self.weight, self.embedding_dim)
