"""How well a language model predicts: loss, perplexity and bits per byte, exact over batches and processes."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from moshi_zoo.losses.cross_entropy import TokenLoss
from moshi_zoo.tokenizer import Tokenizer


class TextMetrics:
    """Sums up the losses of batches.

    Bits per byte compare models whatever their tokenizers: a token counts as the bytes of UTF-8 that it stands for.

    Args:
        tokenizer: of the text; without it there are no bits per byte.
        device: of the batches.
    """

    def __init__(self, tokenizer: Tokenizer | None, device: torch.device):
        self._num_bytes = None if tokenizer is None else torch.tensor(tokenizer.num_bytes(), device=device)
        self._sums = torch.zeros(3, dtype=torch.float64, device=device)  # nats, tokens, bytes

    def add(self, loss: TokenLoss, targets: Tensor, mask: Tensor) -> None:
        """Take in a batch: its loss, the targets [B, T], and which of them count [B, T]."""
        num_bytes = loss.count if self._num_bytes is None else (self._num_bytes[targets] * mask).sum()
        self._sums += torch.stack([loss.total.detach().double(), loss.count.double(), num_bytes.double()])

    def finish(self, add_up: Callable[[Tensor], Any]) -> dict[str, float]:
        """``loss`` in nats per token, ``perplexity``, ``bits_per_byte`` and ``tokens``; starts anew.

        Args:
            add_up: sums a tensor over processes. Every process calls this.
        """
        nats, tokens, num_bytes = add_up(self._sums).tolist()
        self._sums = torch.zeros_like(self._sums)
        if not tokens:
            return {"tokens": 0.0}
        loss = nats / tokens
        values = {"loss": loss, "perplexity": math.exp(min(loss, 700.0)), "tokens": tokens}
        if self._num_bytes is not None and num_bytes:
            values["bits_per_byte"] = nats / math.log(2) / num_bytes
        return values
