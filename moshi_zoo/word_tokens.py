"""From words to tokens, one word at a time: what rows of text are made of, in training and where Moshi reads aloud."""

import itertools
from typing import Literal

from moshi_zoo.tokenizer import Tokenizer

_SPACE = "\u2581"  # SentencePiece's own spelling of a space


class WordTokens:
    """The tokens of words one at a time, as they are within a text; each word is looked up once.

    SentencePiece's pieces do not cross spaces: a word with its space in front has the same pieces in every sentence.

    Args:
        tokenizer: Of the model.
        boundary: What is between words: a ``space``, or ``none`` in languages that write without.
    """

    def __init__(self, tokenizer: Tokenizer, *, boundary: Literal["space", "none"] = "space"):
        self.tokenizer = tokenizer
        adds_space = tokenizer.piece(tokenizer.encode("a")[0]).startswith(_SPACE)  # Kyutai's do so by themselves
        self._before = " " if boundary == "space" and not adds_space else ""
        self._strip = boundary == "none" and adds_space
        self._known: dict[str, tuple[int, ...]] = {}

    def __call__(self, word: str) -> tuple[int, ...]:
        """Tokens of a word; none for an empty one."""
        if word not in self._known:
            self._known[word] = self._look_up(word.strip())
        return self._known[word]

    def _look_up(self, word: str) -> tuple[int, ...]:
        tokens = self.tokenizer.encode(self._before + word) if word else []
        if self._strip:
            bare = itertools.dropwhile(lambda token: self.tokenizer.piece(token) == _SPACE, tokens)
            tokens = list(bare)
        return tuple(tokens)
