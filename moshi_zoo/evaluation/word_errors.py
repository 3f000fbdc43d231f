"""What a transcript gets wrong: the fewest words to replace, leave out and put in."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Alignment:
    """A transcript beside what was said.

    Args:
        pairs: places of words that were got right, in the reference and in the transcript.
        errors: words to replace, leave out or put in.
        num_words: of the reference.
    """

    pairs: list[tuple[int, int]]
    errors: int
    num_words: int


def align(reference: Sequence[str], heard: Sequence[str]) -> Alignment:
    """The alignment with the fewest errors (Levenshtein distance of words).

    Args:
        reference: words that were said.
        heard: words of the transcript.
    """
    costs = [list(range(len(heard) + 1))]
    for i, word in enumerate(reference, 1):
        row = [i]
        for j, other in enumerate(heard, 1):
            row.append(min(costs[i - 1][j - 1] + (word != other), costs[i - 1][j] + 1, row[j - 1] + 1))
        costs.append(row)
    pairs, i, j = [], len(reference), len(heard)
    while i and j:
        if costs[i][j] == costs[i - 1][j - 1] + (reference[i - 1] != heard[j - 1]):
            i, j = i - 1, j - 1
            if reference[i] == heard[j]:
                pairs.append((i, j))
        elif costs[i][j] == costs[i - 1][j] + 1:
            i -= 1
        else:
            j -= 1
    return Alignment(pairs[::-1], costs[-1][-1], len(reference))
