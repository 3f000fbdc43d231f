"""Right answers beside wrong ones, from the embedded dialogues: minimal pairs and multiple choice."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from moshi_zoo.data.dialogue_questions import TASKS
from moshi_zoo.data.dialogue_tasks import Exercise, Split, exercise

_NUM_CHOICES = 4


@dataclass(frozen=True)
class AnswerPair:
    """Two scripts that differ in one word of Moshi's answer."""

    family: str
    good: str
    bad: str


@dataclass(frozen=True)
class AnswerChoice:
    """The beginning of a script and possible ends, one of them right.

    Args:
        family: of the question.
        context: up to and including ``moshi:``.
        choices: each begins with a space.
        answer: which is right.
    """

    family: str
    context: str
    choices: tuple[str, ...]
    answer: int


def minimal_pairs(seed: int = 0, split: Split = "test") -> Iterator[AnswerPair]:
    """Without end; the right and the wrong answer have as many words as each other."""
    for family, drawn, rng in _exercises("pair", seed, split):
        (wrong,) = drawn.wrong_answers(rng, 1)
        context = _context(drawn)
        yield AnswerPair(family, f"{context} {drawn.reply}", f"{context} {drawn.reply_with(wrong)}")


def answer_choices(seed: int = 0, split: Split = "test") -> Iterator[AnswerChoice]:
    """Without end; four choices each, the right one at any place."""
    for family, drawn, rng in _exercises("choice", seed, split):
        answers = [drawn.answer, *drawn.wrong_answers(rng, _NUM_CHOICES - 1)]
        rng.shuffle(answers)
        choices = tuple(f" {drawn.reply_with(answer)}" for answer in answers)
        yield AnswerChoice(family, _context(drawn), choices, answers.index(drawn.answer))


def _exercises(kind: str, seed: int, split: Split) -> Iterator[tuple[str, Exercise, random.Random]]:
    families = list(TASKS)
    for number in count():
        rng = random.Random(f"{kind}/{seed}/{split}/{number}")
        family = families[number % len(families)]
        yield family, exercise(rng.choice(TASKS[family]), rng, split), rng


def _context(drawn: Exercise) -> str:
    return f"user: {drawn.question}\nmoshi:"
