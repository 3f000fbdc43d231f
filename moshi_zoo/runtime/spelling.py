"""What to show of text tokens while they come."""

import re
from collections.abc import Iterable

from moshi_zoo.tokenizer import Tokenizer, WordReader

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_TORN, _SPACE = "\ufffd", "\u2581"
_LONGEST = 4  # bytes of a character in UTF-8


class Spelling:
    """Spells one row of text. Tokens that stand for bytes are shown when a character is complete.

    Args:
        tokenizer: of the text.
        silent: tokens that stand for no text, beside those that the tokenizer knows to be.
    """

    def __init__(self, tokenizer: Tokenizer, *, silent: Iterable[int]):
        self._tokenizer, self._reader = tokenizer, WordReader(tokenizer, padding=silent)
        self._bytes: list[int] = []

    @property
    def is_heard(self) -> bool:
        """Whether the last token is of a word that the user says, not Moshi."""
        return self._reader.is_heard

    def add(self, token: int) -> str | None:
        """What to show of the next token; None: nothing."""
        if self._reader.read(token) == "none":
            return None
        piece = self._tokenizer.piece(token)
        if not _BYTE.fullmatch(piece):
            self._bytes.clear()
            # a piece of letters is one whose decoding is not empty; a bare space decodes to nothing
            return piece.replace(_SPACE, " ") if piece == _SPACE or self._tokenizer.decode([token]) else None
        self._bytes.append(token)
        text = self._tokenizer.decode(self._bytes)
        if text.endswith(_TORN) and len(self._bytes) < _LONGEST:
            return None
        self._bytes.clear()
        return text
