"""Moshi's inner monologue: from words and their times to a row of text tokens, one a frame (Moshi paper, 3.4.4).

A word's tokens begin at the frame in which the word begins. EPAD in the frame before says that they do; PAD fills the
rest. Moshi decides in which frame to speak by that EPAD.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from math import floor
from typing import Literal

import numpy as np
from numpy.typing import NDArray

NOTHING = -1
"""No token: a frame that is outside of the recording, or of which nothing can be known. Not an id of any vocabulary."""

Crowded = Literal["shift", "replace", "truncate"]
"""What becomes of a word that begins while tokens of the one before are still waiting for a frame: it waits too
(``shift``); it takes their place, and they are lost (``replace``, moshi-finetune's default); it is lost itself
(``truncate``)."""

_SAME_FRAME = 1e-6  # frames: 0.56 s are frame 7 at 12.5 Hz, whatever floating point says


@dataclass(frozen=True)
class TimedTokens:
    """The tokens of a word, and when it is said, in seconds."""

    start_s: float
    end_s: float
    tokens: Sequence[int]


@dataclass(frozen=True)
class TextRowStats:
    """What became of words; those of several rows can be added.

    Args:
        num_frames: Frames of the rows.
        num_pad: Of them PAD.
        num_epad: Of them EPAD.
        num_tokens: Of them tokens of words.
        num_words: Words given.
        words_dropped: Words that left no token: without length or tokens, outside of the row, or crowded out.
        tokens_dropped: Tokens lost, those of dropped words among them.
        max_shift: The longest that a word had to wait, in frames.
    """

    num_frames: int = 0
    num_pad: int = 0
    num_epad: int = 0
    num_tokens: int = 0
    num_words: int = 0
    words_dropped: int = 0
    tokens_dropped: int = 0
    max_shift: int = 0

    def __add__(self, other: "TextRowStats") -> "TextRowStats":
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return TextRowStats(**{**sums, "max_shift": max(self.max_shift, other.max_shift)})

    @property
    def pad_share(self) -> float:
        """Share of frames with PAD; about 0.65 in English speech without long silences."""
        return self.num_pad / max(self.num_frames, 1)

    @property
    def epad_share(self) -> float:
        """Share of frames with EPAD."""
        return self.num_epad / max(self.num_frames, 1)

    @property
    def dropped_share(self) -> float:
        """Share of tokens that were lost."""
        return self.tokens_dropped / max(self.tokens_dropped + self.num_tokens, 1)


@dataclass(frozen=True)
class TextRow:
    """A row of tokens, int64 [T], and how it came about."""

    tokens: NDArray[np.int64]
    stats: TextRowStats


def frame_of(seconds: float, frame_rate: float) -> int:
    """The frame in which a time lies."""
    return floor(seconds * frame_rate + _SAME_FRAME)


class TextRowBuilder:
    """Places the tokens of words.

    Args:
        frame_rate: Frames a second.
        pad: Token of frames in which no word has a token.
        epad: Token of the frame before a word's first. None: words come unannounced.
        crowded: What becomes of words that come too fast for their tokens.
    """

    def __init__(self, *, frame_rate: float, pad: int, epad: int | None, crowded: Crowded = "shift"):
        self.frame_rate, self.pad, self.epad, self.crowded = frame_rate, pad, epad, crowded

    def build(self, words: Iterable[TimedTokens], num_frames: int, *, text_delay_s: float = 0.0) -> TextRow:
        """The row of a recording.

        To cut a window, cut it from the row of the whole recording: so a word that goes on from before the window
        keeps its remaining tokens.

        Args:
            words: In any order. Words that end before they begin are left out.
            num_frames: T: frames of the recording. What would lie beyond them is lost.
            text_delay_s: How much earlier than the speech the text is. Positive: words that this moves to before the
                recording are lost, or begin with it (speech follows text: text-to-speech). Negative: the first frames,
                of which no text can be known yet, hold :data:`NOTHING` (text follows speech: recognition).
        """
        given = sorted(words, key=lambda word: (word.start_s, word.end_s))
        usable = [w for w in given if w.end_s > w.start_s and w.end_s > text_delay_s and w.tokens]
        first = min(self._frame(-min(text_delay_s, 0.0)), num_frames)  # before it nothing is known
        row = np.full(num_frames, self.pad, np.int64)
        row[:first] = NOTHING
        frames = [max(self._frame(word.start_s - text_delay_s), first) for word in usable]
        free, num_tokens, words_placed, max_shift = first, 0, 0, 0
        for word, frame, following in zip(usable, frames, [*frames, num_frames][1:], strict=True):
            if self.crowded == "truncate" and free > frame:
                continue
            start = max(frame, free)
            announced_late = self.epad is not None and start == first  # no frame before: EPAD takes the word's own
            start += announced_late
            limit = min(following, num_frames) if self.crowded == "replace" else num_frames
            end = min(start + len(word.tokens), limit)
            if end <= start:
                continue
            if self.epad is not None and row[start - 1] == self.pad:
                row[start - 1] = self.epad
            row[start:end] = word.tokens[: end - start]
            max_shift = max(max_shift, start - frame - announced_late)
            free, num_tokens, words_placed = end, num_tokens + end - start, words_placed + 1
        num_epad = int((row == self.epad).sum()) if self.epad is not None else 0
        stats = TextRowStats(
            num_frames=num_frames,
            num_pad=num_frames - first - num_tokens - num_epad,
            num_epad=num_epad,
            num_tokens=num_tokens,
            num_words=len(given),
            words_dropped=len(given) - words_placed,
            tokens_dropped=sum(len(word.tokens) for word in given) - num_tokens,
            max_shift=max_shift,
        )
        return TextRow(row, stats)

    def _frame(self, seconds: float) -> int:
        return frame_of(seconds, self.frame_rate)
