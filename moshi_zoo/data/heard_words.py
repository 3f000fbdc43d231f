"""What the user says, written down between Moshi's own words: a monologue that hears.

In the Moshi paper the text row has Moshi's words only; what the user says reaches an answer through the codes alone. A
model with hundreds of thousands of hours learns that, one with hours learns it very slowly. Here the row has the user's
words too, a moment after they are said, each announced by a mark: what has been heard is then before Moshi's eyes in
the tokens in which Helium has learnt to answer.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from moshi_zoo.data.alignments import Word
from moshi_zoo.data.text_row import frame_of
from moshi_zoo.word_tokens import WordTokens

_PATIENCE_S = 0.8  # later than that the answer has begun, and nobody needs the word any more


class HeardWords:
    """Writes the user's words into a row of Moshi's.

    Args:
        tokens: Tokens of a word. Their tokenizer's mark announces each, in the frame before its first token; frames
            with PAD are free.
        frame_rate: Frames a second.
        delay_s: How much later than it begins a word is written.

    Raises:
        ValueError: if the tokenizer has no mark.
    """

    def __init__(self, tokens: WordTokens, *, frame_rate: float, delay_s: float):
        if tokens.tokenizer.heard is None:
            raise ValueError("the tokenizer has no spare control token to announce what is heard: train one of ours")
        self.tokens, self.mark, self.pad = tokens, tokens.tokenizer.heard, tokens.tokenizer.pad
        self.frame_rate, self.delay_s = frame_rate, delay_s

    def write(self, row: NDArray[np.int64], words: Iterable[Word]) -> int:
        """Write words, in place, where Moshi says nothing; a word waits for room, but not for long.

        Args:
            row: Moshi's, int64 [T].
            words: The user's, in any order. What an aligner takes for one word may be several ("how are you"), which
                are written one behind the other, each announced.

        Returns:
            How many found no room.
        """
        lost, free = 0, 0
        patience = round(_PATIENCE_S * self.frame_rate)
        for word in sorted(words, key=lambda word: (word.start_s, word.end_s)):
            written = [token for part in word.text.split() for token in (self.mark, *self.tokens(part))]
            length = len(written)
            due = max(frame_of(word.start_s + self.delay_s, self.frame_rate) - 1, 0)
            first = max(due, free)
            places = range(first, min(due + patience, len(row) - length) + 1)
            place = next((f for f in places if (row[f : f + length] == self.pad).all()), None)
            if place is None or not written:
                lost += 1
                continue
            row[place : place + length] = written
            free = place + length
        return lost
