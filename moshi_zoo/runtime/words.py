"""Words of Moshi's text row, and when they are said."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from moshi_zoo.tokenizer import Tokenizer

_SPACE = "\u2581"


@dataclass(frozen=True)
class SpokenWord:
    """A word.

    Args:
        text: as it is written.
        start_s: when it begins, in seconds.
        frame: in which its first token stands.
        tokens: that it is written with.
    """

    text: str
    start_s: float
    frame: int
    tokens: tuple[int, ...]


class WordStream:
    """Words from text tokens while they come: each is complete with the token after it.

    A word begins after padding, or with a piece that begins with a space; as :meth:`Tokenizer.words` has it.

    Args:
        tokenizer: of the text.
        silent: tokens that are no text (PAD, EPAD), beside the tokenizer's own.
        frame_rate: tokens a second.
        first: frame of the first token.
        delay_s: how long after its sound a word is written, in seconds; below 0: before.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        silent: Iterable[int] = (),
        frame_rate: float,
        first: int = 0,
        delay_s: float = 0.0,
    ):
        self._tokenizer, self._frame_rate, self._delay_s = tokenizer, frame_rate, delay_s
        self._silent = {*silent, tokenizer.pad, tokenizer.epad, tokenizer.bos, tokenizer.eos, *tokenizer.control}
        self._frame, self._tokens = first, list[int]()

    def add(self, token: int) -> SpokenWord | None:
        """Take the token of the next frame; returns the word that ended before it."""
        is_text = 0 <= token < self._tokenizer.vocab_size and token not in self._silent
        ends = not is_text or self._tokenizer.piece(token).startswith(_SPACE)
        word = self.end() if ends else None
        if is_text:
            self._tokens.append(token)
        self._frame += 1
        return word

    def end(self) -> SpokenWord | None:
        """The word that is still open, if any."""
        if not self._tokens:
            return None
        frame, tokens = self._frame - len(self._tokens), tuple(self._tokens)
        self._tokens = []
        text = self._tokenizer.decode(tokens).strip()
        return SpokenWord(text, round(frame / self._frame_rate - self._delay_s, 3), frame, tokens) if text else None


def as_json(words: Sequence[SpokenWord]) -> str:
    """A list of words for a file."""
    return json.dumps([asdict(word) for word in words], ensure_ascii=False, indent=1)
