"""Which tokens of rows of text are the user's words, in a monologue that hears."""

import torch
from torch import Tensor

from moshi_zoo.tokenizer import Tokenizer


class HeardTokens:
    """Finds the user's words in many rows at once, as :class:`WordReader` does in one.

    Args:
        tokenizer: Of the text.
        device: Of the rows.
    """

    def __init__(self, tokenizer: Tokenizer, device: torch.device | str = "cpu"):
        self._mark = -1 if tokenizer.heard is None else tokenizer.heard  # -1: no token
        ids = range(tokenizer.vocab_size)
        # what is no token of ours is the last one
        self._is_text = torch.tensor([*map(tokenizer.is_text, ids), False], device=device)
        self._begins = torch.tensor([*map(tokenizer.begins_word, ids), False], device=device)

    def __call__(self, text: Tensor) -> Tensor:
        """Rows int64 [..., T] -> bool [..., T]; the marks that announce the words are not among them."""
        other = len(self._is_text) - 1
        known = text.where((text >= 0) & (text < other), other)
        is_text = self._is_text[known]
        follows_text = is_text.roll(1, -1)
        follows_text[..., 0] = False
        goes_on = is_text & ~(follows_text & self._begins[known])  # from the token before, a mark perhaps
        frames = torch.arange(text.shape[-1], device=text.device)
        first = torch.where(goes_on, 0, frames).cummax(-1).values
        return is_text & self.are_marks(text).gather(-1, first)

    def are_marks(self, text: Tensor) -> Tensor:
        """Which tokens announce a word, bool [..., T]."""
        return (text == self._mark) & (text >= 0)
