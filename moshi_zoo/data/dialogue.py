"""A written dialogue between a user and Moshi: turns, overlaps, silences, and answers that can be checked."""

import re
from dataclasses import dataclass
from typing import Literal

from moshi_zoo.data.sentences import number_in_words

Speaker = Literal["user", "moshi"]
Overlap = Literal["none", "backchannel", "interrupts"]

_NUMBER_WORDS = frozenset(word for n in range(101) for word in re.split(r"[ -]", number_in_words(n)))
_NOTHING = "..."


@dataclass(frozen=True)
class Turn:
    """What one side says before the other side speaks.

    Args:
        speaker: who.
        text: what is said, in words that can be spoken; empty: the speaker's turn passes in silence.
        overlap: ``backchannel``: said while the other, whose turn goes on afterwards, still holds the floor;
            ``interrupts``: begins before the turn ahead of it is over, whose text ends where its speaker falls silent.
        pause_s: silence before the turn in seconds, beyond the usual gap.
        expected: the words that make the turn right, where there is one right answer; empty: saying nothing is right.
    """

    speaker: Speaker
    text: str
    overlap: Overlap = "none"
    pause_s: float = 0.0
    expected: str | None = None


@dataclass(frozen=True)
class Dialogue:
    """Turns in the order in which they begin.

    Args:
        family: what it is about, such as ``sums``.
        turns: at least one.
    """

    family: str
    turns: tuple[Turn, ...]

    @property
    def text(self) -> str:
        """The script, a line for each turn: ``user: what is two plus three?``; silence is ``moshi: ...``."""
        return "\n".join(f"{turn.speaker}: {turn.text or _NOTHING}" for turn in self.turns)


def normalise_answer(text: str) -> str:
    """An answer without what does not matter: lower case, words only, numbers spelled out.

    ``"It's 4, five!"`` -> ``it's four five``. Numerals of more than two digits are read digit by digit.
    """
    text = re.sub(r"\d+", lambda number: f" {_spoken(number[0])} ", text.lower())
    return " ".join(re.findall(r"[^\W_]+(?:'[^\W_]+)*", text))


def is_right(reply: str, expected: str) -> bool:
    """Whether a reply gives the expected answer, whatever politeness surrounds it.

    The expected words must occur together. They must not be part of a longer row of numbers: *three one four one* does
    not repeat *three one four*. Where silence is expected, only silence is right.
    """
    said, wanted = normalise_answer(reply).split(), normalise_answer(expected).split()
    if not wanted:
        return not said
    starts = (i for i in range(len(said) - len(wanted) + 1) if said[i : i + len(wanted)] == wanted)
    return any(not _runs_on(said, i - 1, i) and not _runs_on(said, i + len(wanted), i) for i in starts)


def _runs_on(words: list[str], neighbour: int, start: int) -> bool:
    inside = 0 <= neighbour < len(words)
    return inside and words[neighbour] in _NUMBER_WORDS and words[start] in _NUMBER_WORDS


def _spoken(numeral: str) -> str:
    if len(numeral) > 2:
        return " ".join(number_in_words(int(digit)) for digit in numeral)
    return number_in_words(int(numeral)).replace("-", " ")
