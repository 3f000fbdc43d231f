"""Which text token comes next when Moshi reads aloud: the words are given, the model says when, as in Kyutai's TTS.

In each frame the model draws a token. Where it announces a word or begins one, it gets the next of ours; where it
waits, so do we, up to a longest pause. What it would write instead does not matter.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from moshi_zoo.tokenizer import Tokenizer


@dataclass(frozen=True)
class Pause:
    """Silence between two words, in frames."""

    num_frames: int


class Reading:
    """The way through a text.

    Args:
        entries: tokens of words, and pauses between them.
        tokenizer: of the text.
        pad: PAD.
        epad: announces a word.
        max_pause: frames between two words at most; the model may ask for the next before.
        opening: frames before the first.

    Attributes:
        is_over: whether all has been read, and the model would begin another word.
    """

    def __init__(
        self,
        entries: Iterable[tuple[int, ...] | Pause],
        tokenizer: Tokenizer,
        *,
        pad: int,
        epad: int,
        max_pause: int,
        opening: int = 2,
    ):
        self._entries, self._tokenizer = deque(entries), tokenizer
        self._pad, self._epad, self._max_pause = pad, epad, max_pause
        self._queued: deque[int] = deque()
        self._waited, self._must_wait, self._in_word = 0, opening, False
        self.is_over = False

    def next(self, drawn: int) -> int:
        """The token of the next frame.

        Args:
            drawn: what the model would say.
        """
        if self._queued:
            return self._said(self._queued.popleft())
        if self._must_wait:
            self._must_wait -= 1
            return self._wait()
        begins = drawn not in (self._pad, self._epad) and self._tokenizer.begins_word(drawn)
        if not (begins or drawn == self._epad or self._waited >= self._max_pause):
            return self._wait()
        if not self._entries:
            self.is_over = True
            return self._wait()
        entry = self._entries.popleft()
        if isinstance(entry, Pause):
            self._must_wait, self._waited = entry.num_frames, 0
            return self.next(self._pad)
        self._queued.extend(entry)
        if begins and self._in_word:  # no room for EPAD
            return self._said(self._queued.popleft())
        self._in_word = False
        return self._epad

    def _said(self, token: int) -> int:
        self._waited, self._in_word = 0, True
        return token

    def _wait(self) -> int:
        self._waited += 1
        self._in_word = False
        return self._pad
