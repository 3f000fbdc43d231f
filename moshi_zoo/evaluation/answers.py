"""Whether questions are answered right, word for word."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moshi_zoo.data.dialogue import is_right, normalise_answer
from moshi_zoo.data.dialogue_tasks import DIGITS
from moshi_zoo.evaluation.script import Question


@dataclass(frozen=True)
class SpokenWord:
    """A word, and when it begins; where it is known, also when it ends."""

    text: str
    start_s: float
    end_s: float | None = None


@dataclass(frozen=True)
class Answer:
    """What became of a question.

    Args:
        question: that was asked.
        said: the words of the reply.
        right: whether it gives the expected answer.
        words_right: how many of the expected words were said in their order.
        num_words: that were expected.
        digits_right: the same of digits.
        num_digits: the same of digits.
    """

    question: Question
    said: str
    right: bool
    words_right: int
    num_words: int
    digits_right: int
    num_digits: int


def answers(questions: Sequence[Question], words: Sequence[SpokenWord]) -> list[Answer]:
    """Judge what was said after each question.

    Args:
        questions: of a dialogue.
        words: that Moshi said, in order.
    """
    return [_judged(question, words) for question in questions]


def _judged(question: Question, words: Sequence[SpokenWord]) -> Answer:
    said = " ".join(word.text for word in words if question.start_s <= word.start_s < question.end_s)
    expected, heard = normalise_answer(question.expected).split(), normalise_answer(said).split()
    digits = [word for word in expected if word in DIGITS]
    return Answer(
        question=question,
        said=said,
        right=is_right(said, question.expected),
        words_right=common_words(expected, heard),
        num_words=len(expected),
        digits_right=common_words(digits, [word for word in heard if word in DIGITS]),
        num_digits=len(digits),
    )


def common_words(expected: Sequence[str], heard: Sequence[str]) -> int:
    """How many of the expected words were heard in their order: the longest common subsequence."""
    best = np.zeros(len(heard) + 1, int)
    for word in expected:
        same = np.array([0, *(best[j] + 1 if other == word else 0 for j, other in enumerate(heard))])
        best = np.maximum.accumulate(np.maximum(best, same))
    return int(best[-1])
