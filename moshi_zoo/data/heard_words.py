"""What the user says, written down between Moshi's own words: a monologue that hears.

In the Moshi paper the text row has Moshi's words only; what the user says reaches an answer through the codes alone. A
model with hundreds of thousands of hours learns that, one with hours learns it very slowly. Here the row has the user's
words too, a moment after they are said, each announced by a mark: what has been heard is then before Moshi's eyes in
the tokens in which Helium has learnt to answer.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from moshi_zoo.data.text_row import TimedTokens, frame_of

_PATIENCE_S = 0.8  # later than that the answer has begun, and nobody needs the word any more


class HeardWords:
    """Writes the user's words into a row of Moshi's.

    Args:
        frame_rate: Frames a second.
        pad: Token of the frames that are free.
        mark: Announces each word, in the frame before its first token.
        delay_s: How much later than it begins a word is written.
    """

    def __init__(self, *, frame_rate: float, pad: int, mark: int, delay_s: float):
        self.frame_rate, self.pad, self.mark, self.delay_s = frame_rate, pad, mark, delay_s

    def write(self, row: NDArray[np.int64], words: Iterable[TimedTokens]) -> int:
        """Write words, in place, where Moshi says nothing; a word waits for room, but not for long.

        Args:
            row: Moshi's, int64 [T].
            words: The user's, in any order.

        Returns:
            How many found no room.
        """
        lost, free = 0, 0
        patience = round(_PATIENCE_S * self.frame_rate)
        for word in sorted(words, key=lambda word: (word.start_s, word.end_s)):
            length = 1 + len(word.tokens)
            due = max(frame_of(word.start_s + self.delay_s, self.frame_rate) - 1, 0)
            first = max(due, free)
            places = range(first, min(due + patience, len(row) - length) + 1)
            place = next((f for f in places if (row[f : f + length] == self.pad).all()), None)
            if place is None or not word.tokens:
                lost += 1
                continue
            row[place], row[place + 1 : place + length] = self.mark, word.tokens
            free = place + length
        return lost
