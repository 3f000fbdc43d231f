"""How a language model goes on from a few beginnings: always the same, so that progress can be read."""

from collections.abc import Sequence

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from moshi_zoo.models.generation import continuations, generate
from moshi_zoo.models.helium import Helium
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.training.samples import log_texts

_TEMPERATURE, _TOP_P = 0.8, 0.95


class TextSamples:
    """Continues prompts and keeps the result among the samples of the run.

    Args:
        prompts: texts to go on from; none: the beginnings of the first rows that are validated.
        count: how many of them; 0: nothing is written.
        max_tokens: length of a continuation.
        beginning: tokens of a row that are its beginning.
    """

    def __init__(self, prompts: Sequence[str] = (), *, count: int, max_tokens: int, beginning: int = 16):
        self.prompts, self.count, self.max_tokens, self.beginning = tuple(prompts), count, max_tokens, beginning
        self._rows: list[list[int]] = []

    def see(self, tokens: Tensor) -> None:
        """Look at the first batch [B, T] of a validation."""
        self._rows = tokens[: self.count, : self.beginning].tolist()

    def show(self, stage: LightningModule, net: Helium, tokenizer: Tokenizer) -> None:
        """Continue the prompts. Every process calls this: it may hold a share of the weights."""
        prompts = [[tokenizer.bos, *tokenizer.encode(text)] for text in self.prompts[: self.count]] or self._rows
        if not prompts or stage.trainer.sanity_checking:
            return
        # No end of a text ends it for all: processes whose rows differ must make the same number of steps.
        steps = generate(net, prompts, max_tokens=self.max_tokens, temperature=_TEMPERATURE, top_p=_TOP_P, eos=None)
        with torch.compiler.set_stance("force_eager"):  # compiling for each length would take longer than all the rest
            added = continuations(steps, len(prompts))
        rows = [
            [tokenizer.decode(prompt), tokenizer.decode(_readable(text, tokenizer))]
            for prompt, text in zip(prompts, added, strict=True)
        ]
        log_texts(stage, "val/continuations", ["prompt", "continuation"], rows)


def _readable(tokens: list[int], tokenizer: Tokenizer) -> list[int]:
    """Up to the end of the text, without ids that the net has and the tokenizer has not."""
    text = tokens[: tokens.index(tokenizer.eos)] if tokenizer.eos in tokens else tokens
    return [token for token in text if token < tokenizer.vocab_size]
