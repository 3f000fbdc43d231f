"""Further classifiers beside the vocabulary, such as Kyutai's semantic voice activity detection."""

from torch import Tensor, nn

from moshi_zoo.modules.initial import NormalLinear


class ExtraHeads(nn.Module):
    """Classifiers of each frame, from what the text's output product sees.

    Args:
        dim: width D.
        num_heads: H.
        num_classes: of each.
    """

    def __init__(self, dim: int, num_heads: int, num_classes: int):
        super().__init__()
        self.num_heads = num_heads
        self.linear = NormalLinear(dim, num_heads * num_classes, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """[B, T, D] -> logits [B, H, T, classes]."""
        return self.linear(hidden).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
