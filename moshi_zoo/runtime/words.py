"""Words of Moshi's text row: whose they are, and when they are said."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from moshi_zoo.tokenizer import Tokenizer, WordReader

Speaker = Literal["moshi", "user"]
"""Who says a word. The user's are written down by a Moshi that has learnt to (:attr:`Tokenizer.heard`)."""


@dataclass(frozen=True)
class SpokenWord:
    """A word.

    Args:
        text: as it is written.
        start_s: when it begins, in seconds.
        frame: in which its first token stands.
        tokens: that it is written with.
        speaker: who says it.
    """

    text: str
    start_s: float
    frame: int
    tokens: tuple[int, ...]
    speaker: Speaker = "moshi"


class WordStream:
    """Words from text tokens while they come: each is complete with the token after it.

    Args:
        tokenizer: of the text.
        silent: tokens that are no text (PAD, EPAD), beside the tokenizer's own.
        frame_rate: tokens a second.
        first: frame of the first token.
        delay_s: how long after its sound a word is written, in seconds; below 0: before.
        heard_delay_s: the same of words that are announced as heard.
        speaker: who says the words that are not.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        silent: Iterable[int] = (),
        frame_rate: float,
        first: int = 0,
        delay_s: float = 0.0,
        heard_delay_s: float = 0.0,
        speaker: Speaker = "moshi",
    ):
        self._tokenizer, self._reader = tokenizer, WordReader(tokenizer, padding=silent)
        self._frame_rate, self._speaker = frame_rate, speaker
        self._delay_s, self._heard_delay_s = delay_s, heard_delay_s
        self._frame, self._tokens, self._is_heard = first, list[int](), False

    def add(self, token: int) -> SpokenWord | None:
        """Take the token of the next frame; returns the word that ended before it."""
        part = self._reader.read(token)
        word = self.end() if part != "inside" else None
        if part != "none":
            self._tokens.append(token)
            self._is_heard = self._reader.is_heard
        self._frame += 1
        return word

    def end(self) -> SpokenWord | None:
        """The word that is still open, if any."""
        if not self._tokens:
            return None
        frame, tokens = self._frame - len(self._tokens), tuple(self._tokens)
        self._tokens = []
        text = self._tokenizer.decode(tokens).strip()
        if not text:
            return None
        delay_s = self._heard_delay_s if self._is_heard else self._delay_s
        speaker = "user" if self._is_heard else self._speaker
        return SpokenWord(text, round(frame / self._frame_rate - delay_s, 3), frame, tokens, speaker)


def as_json(words: Sequence[SpokenWord]) -> str:
    """A list of words for a file."""
    return json.dumps([asdict(word) for word in words], ensure_ascii=False, indent=1)
