"""Questions with exactly one right answer, and which of them are held out of training.

**What is held out.** Validation and test exercises never occur in training, decided by hashes, the same on every
machine:

* Rows of three or more digits (to echo, or to spell from a number): each group of three neighbours belongs to a split.
  A training row holds training groups only, a validation (test) row at least one group of validation (test) and none of
  test (validation). So no held-out row is part of any row in training, and a model can only answer by copying. Groups
  that count up or down belong to training, because counting says them.
* All else is knowledge from a small table (two plus three; what comes after Monday), which nobody could answer without
  having met it: held out are pairs of a wording and its values.
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from moshi_zoo.data.sentences import number_in_words

DIGITS = tuple(number_in_words(n) for n in range(10))

Split = Literal["train", "valid", "test"]

Slots = dict[str, str]
"""Values of the gaps in a question and its reply. ``answer`` is the right one, ``digits`` a row of digits, if any."""


@dataclass(frozen=True)
class Task:
    """A kind of question.

    Args:
        name: unique.
        questions: wordings with gaps; those without a question mark are requests.
        replies: wordings that hold ``{answer}``.
        draw: values for the gaps.
        words: what answers consist of; wrong answers are made of these too.
    """

    name: str
    questions: tuple[str, ...]
    replies: tuple[str, ...]
    draw: Callable[[random.Random], Slots]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Exercise:
    """A question with its right reply."""

    task: Task
    question: str
    slots: Slots
    wording: str

    @property
    def answer(self) -> str:
        """The words that matter in the reply."""
        return self.slots["answer"]

    @property
    def reply(self) -> str:
        """The right reply."""
        return self.reply_with(self.answer)

    def reply_with(self, answer: str) -> str:
        """The same wording with another answer."""
        return self.wording.format(**{**self.slots, "answer": answer})

    def wrong_answers(self, rng: random.Random, count: int) -> list[str]:
        """Different wrong answers with as many words as the right one, each wrong in one word."""
        right = self.answer.split()
        wrong: dict[str, None] = {}
        while len(wrong) < count:
            place = rng.randrange(len(right))
            other = rng.choice([word for word in self.task.words if word != right[place]])
            wrong[" ".join([*right[:place], other, *right[place + 1 :]])] = None
        return list(wrong)


def exercise(task: Task, rng: random.Random, split: Split) -> Exercise:
    """Draw a question of a split."""
    while True:
        slots, wording = task.draw(rng), rng.choice(task.questions)
        if _split_of_exercise(task, slots, wording) == split:
            question = _asked(rng, wording.format(**slots))
            return Exercise(task, question, slots, rng.choice(task.replies))


def split_of(key: str) -> Split:
    """Eight tenths of all keys train, one validates, one tests."""
    lot = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") % 10
    return "train" if lot < 8 else "valid" if lot == 8 else "test"


def split_of_digits(digits: list[int]) -> Split | None:
    """Whose a row of three or more digits is; None: nobody's, because it holds groups of validation and of test."""
    held_out = {_split_of_group(digits[i : i + 3]) for i in range(len(digits) - 2)} - {"train"}
    if len(held_out) > 1:
        return None
    return held_out.pop() if held_out else "train"


def _split_of_group(group: list[int]) -> Split:
    counts = group[1] - group[0] == group[2] - group[1] and abs(group[1] - group[0]) == 1
    return "train" if counts else split_of(f"digits/{group}")


def _split_of_exercise(task: Task, slots: Slots, wording: str) -> Split | None:
    digits = [DIGITS.index(word) for word in slots.get("digits", "").split()]
    if len(digits) >= 3:
        return split_of_digits(digits)
    return split_of("/".join([task.name, wording, *slots.values()]))


def _asked(rng: random.Random, wording: str) -> str:
    if wording.endswith("?"):
        return rng.choice(_BEFORE_QUESTIONS) + wording
    before = rng.choice(_BEFORE_REQUESTS)
    return before + wording + ("?" if before.startswith(("can", "could")) else ".")


_BEFORE_QUESTIONS = ("", "", "", "so ", "okay, ", "moshi, ", "and ", "now ")
_BEFORE_REQUESTS = ("", "", "please ", "can you ", "could you ", "can you please ", "now ", "okay, ", "moshi, please ")
