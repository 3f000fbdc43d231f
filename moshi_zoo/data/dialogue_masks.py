"""What is taken away from windows in training, so that the model does not rely on it."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from moshi_zoo.data.text_row import NOTHING


@dataclass(frozen=True)
class Masks:
    """How much becomes nothing, which has neither an embedding nor a loss.

    Args:
        text: Share of the text tokens, PAD among them (Moshi paper 4.4: 0.3 in pre-training): the model learns to do
            without text that nobody has written down. 1: it never sees nor says any.
        user: Share of the user's codes: half of it in whole frames, half code by code. The model, which soon knows its
            few users by heart, has to listen to all of what they say.

    Raises:
        ValueError: if a share is not one.
    """

    text: float = 0.0
    user: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.text <= 1:
            raise ValueError(f"text_mask is {self.text}; it must be 0 to 1")
        if not 0 <= self.user < 1:
            raise ValueError(f"user_dropout is {self.user}; it must be 0 or more and below 1")

    def apply(self, text: Tensor, user: Tensor, rng: np.random.Generator) -> None:
        """Take away, in place.

        Args:
            text: Tokens [T].
            user: Codes [K, T].
            rng: Source of the draws.
        """
        if self.text:
            text[1:][_lots(rng, len(text) - 1) < self.text] = NOTHING  # the first may say in which mode this is
        if self.user:
            each = 1 - (1 - self.user) ** 0.5  # of two independent losses, which together take the whole share
            user[(_lots(rng, *user.shape) < each) | (_lots(rng, user.shape[1]) < each)] = NOTHING


def _lots(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.random(shape))
