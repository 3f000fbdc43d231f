"""Further classifiers beside the vocabulary, such as Kyutai's semantic voice activity detection."""

from torch import Tensor, nn

from moshi_zoo.modules.step_linear import StepLinear


class ExtraHeads(nn.Module):
    """Classifiers of each frame, from what the text's output product sees.

    Args:
        dim: width D.
        num_heads: H.
        num_classes: of each.
    """

    def __init__(self, dim: int, num_heads: int, num_classes: int):
        super().__init__()
        self.linear = StepLinear(dim, num_classes, range(num_heads), initial="normal")

    def forward(self, hidden: Tensor) -> Tensor:
        """[B, T, D] -> logits [B, H, T, classes]."""
        return self.linear.each(hidden).transpose(0, 1)
