"""The kinds of question with exact answers: digits, counting, sums, opposites, days and months."""

import random
from collections.abc import Callable

from moshi_zoo.data.dialogue_tasks import DIGITS, Slots, Task
from moshi_zoo.data.sentences import number_in_words

NUMBERS = tuple(number_in_words(n) for n in range(21))
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_OPPOSITES = (
    *(("hot", "cold"), ("big", "small"), ("up", "down"), ("left", "right"), ("open", "closed"), ("day", "night")),
    *(("fast", "slow"), ("high", "low"), ("happy", "sad"), ("young", "old"), ("wet", "dry"), ("hard", "soft")),
    *(("light", "dark"), ("early", "late"), ("full", "empty"), ("long", "short"), ("near", "far"), ("in", "out")),
    *(("black", "white"), ("good", "bad"), ("rich", "poor"), ("loud", "quiet"), ("clean", "dirty"), ("thick", "thin")),
    *(("strong", "weak"), ("first", "last"), ("above", "below"), ("push", "pull"), ("win", "lose"), ("wide", "narrow")),
)


def _row_of_digits(rng: random.Random) -> Slots:
    row = " ".join(rng.choices(DIGITS, k=rng.choice((1, 2, 3, 3, 4, 4, 5))))
    return {"digits": row, "answer": row}


def _number_and_its_digits(rng: random.Random) -> Slots:
    number = rng.randrange(21, 100) if rng.random() < 0.4 else rng.randrange(100, 1000)
    row = " ".join(DIGITS[int(digit)] for digit in str(number))
    return {"number": number_in_words(number).replace("-", " "), "digits": row, "answer": row}


def _next_three(rng: random.Random) -> Slots:
    start = rng.randrange(1, 18)
    return {"number": NUMBERS[start], "answer": " ".join(NUMBERS[start + 1 : start + 4])}


def _three_back(rng: random.Random) -> Slots:
    start = rng.randrange(3, 21)
    return {"number": NUMBERS[start], "answer": " ".join(NUMBERS[start - 3 : start][::-1])}


def _keep_counting(rng: random.Random) -> Slots:
    start = rng.randrange(15)
    return {"row": " ".join(NUMBERS[start : start + 3]), "answer": " ".join(NUMBERS[start + 3 : start + 6])}


def _from_to(rng: random.Random) -> Slots:
    first, length = rng.randrange(15), rng.randrange(3, 7)
    row = NUMBERS[first : first + length]
    return {"first": row[0], "last": row[-1], "answer": " ".join(row)}


def _neighbour(row: tuple[str, ...], step: int, *, cyclic: bool) -> Callable[[random.Random], Slots]:
    """Draws a word of a row, whose answer is the one after it (step 1) or before it (step -1)."""

    def draw(rng: random.Random) -> Slots:
        places = range(len(row)) if cyclic else range(max(0, -step), len(row) - max(0, step))
        place = rng.choice(places)
        return {"it": row[place], "answer": row[(place + step) % len(row)]}

    return draw


def _sum(rng: random.Random) -> Slots:
    a, b = rng.randrange(1, 10), rng.randrange(1, 10)
    return {"a": NUMBERS[a], "b": NUMBERS[b], "answer": NUMBERS[a + b]}


def _difference(rng: random.Random) -> Slots:
    a = rng.randrange(1, 11)
    b = rng.randrange(1, a + 1)
    return {"a": NUMBERS[a], "b": NUMBERS[b], "answer": NUMBERS[a - b]}


def _opposite(rng: random.Random) -> Slots:
    word, other = rng.sample(rng.choice(_OPPOSITES), 2)
    return {"it": word, "answer": other}


_PLAIN = ("{answer}.", "{answer}.", "{answer}.")
_AFTER = (*_PLAIN, "{answer} comes after {it}.", "it is {answer}.", "that is {answer}.")
_BEFORE = (*_PLAIN, "{answer} comes before {it}.", "it is {answer}.", "that is {answer}.")

TASKS: dict[str, tuple[Task, ...]] = {
    "echo": (
        Task(
            "echo",
            (
                *("say {digits}", "repeat {digits}", "repeat after me {digits}", "say {digits} back to me"),
                *("say these digits {digits}", "read {digits} back to me", "repeat the digits {digits}"),
                *("i say {digits}. what did i say?", "say after me {digits}"),
            ),
            (*_PLAIN, "you said {answer}.", "okay, {answer}.", "sure, {answer}."),
            _row_of_digits,
            DIGITS,
        ),
    ),
    "spelling": (
        Task(
            "spelling",
            (
                *("spell the number {number}", "say {number} digit by digit", "read the digits of {number}"),
                *("what are the digits of {number}?", "how do you write {number}?", "spell {number}"),
                *("tell me the digits of {number}", "which digits are in {number}?"),
            ),
            (*_PLAIN, "that is {answer}.", "the digits are {answer}.", "you write {answer}."),
            _number_and_its_digits,
            DIGITS,
        ),
    ),
    "counting": (
        Task(
            "counting on",
            ("count on from {number}", "say the next three numbers after {number}", "keep counting from {number}"),
            (*_PLAIN, "okay, {answer}.", "sure, {answer}."),
            _next_three,
            NUMBERS,
        ),
        Task(
            "counting back",
            ("count back from {number}", "count down from {number}", "say the three numbers before {number}"),
            (*_PLAIN, "okay, {answer}.", "sure, {answer}."),
            _three_back,
            NUMBERS,
        ),
        Task(
            "keeping on",
            ("{row}, what comes next?", "count on after {row}", "how does it go on? {row}, and then?"),
            (*_PLAIN, "then {answer}.", "next is {answer}."),
            _keep_counting,
            NUMBERS,
        ),
        Task(
            "from and to",
            ("count from {first} to {last}", "say the numbers from {first} to {last}"),
            (*_PLAIN, "okay, {answer}.", "sure, {answer}."),
            _from_to,
            NUMBERS,
        ),
        Task(
            "number after",
            ("what comes after {it}?", "which number comes after {it}?", "what is the next number after {it}?"),
            _AFTER,
            _neighbour(NUMBERS, 1, cyclic=False),
            NUMBERS,
        ),
        Task(
            "number before",
            ("what comes before {it}?", "which number comes before {it}?", "what is the number before {it}?"),
            _BEFORE,
            _neighbour(NUMBERS, -1, cyclic=False),
            NUMBERS,
        ),
    ),
    "sums": (
        Task(
            "sum",
            (
                *("what is {a} plus {b}?", "how much is {a} plus {b}?", "add {a} and {b}", "add {b} to {a}"),
                *("what do you get from {a} plus {b}?", "tell me what {a} plus {b} is", "{a} plus {b} is what?"),
                "what is the sum of {a} and {b}?",
            ),
            (*_PLAIN, "that is {answer}.", "the answer is {answer}.", "{a} plus {b} is {answer}.", "it is {answer}."),
            _sum,
            NUMBERS[:19],
        ),
        Task(
            "difference",
            (
                *("what is {a} minus {b}?", "how much is {a} minus {b}?", "take {b} from {a}"),
                *("take {b} away from {a}", "tell me what {a} minus {b} is", "{a} minus {b} is what?"),
            ),
            (*_PLAIN, "that is {answer}.", "the answer is {answer}.", "{a} minus {b} is {answer}.", "it is {answer}."),
            _difference,
            NUMBERS[:10],
        ),
    ),
    "opposites": (
        Task(
            "opposite",
            (
                *("what is the opposite of {it}?", "tell me the opposite of {it}", "say the opposite of {it}"),
                *("{it}, what is the opposite?", "what is the other word, if it is not {it}?"),
                *("do you know the opposite of {it}?", "which word is the opposite of {it}?"),
            ),
            (*_PLAIN, "the opposite of {it} is {answer}.", "it is {answer}.", "that is {answer}."),
            _opposite,
            tuple(word for pair in _OPPOSITES for word in pair),
        ),
    ),
    "calendar": (
        Task(
            "day after",
            (
                *("what day comes after {it}?", "which day comes after {it}?", "which day is after {it}?"),
                *("today is {it}. what day is tomorrow?", "if today is {it}, what day is tomorrow?"),
                "tell me which day comes after {it}",
            ),
            _AFTER,
            _neighbour(DAYS, 1, cyclic=True),
            DAYS,
        ),
        Task(
            "day before",
            (
                *("what day comes before {it}?", "which day comes before {it}?", "which day is before {it}?"),
                *("today is {it}. what day was yesterday?", "if today is {it}, what day was yesterday?"),
                "tell me which day comes before {it}",
            ),
            _BEFORE,
            _neighbour(DAYS, -1, cyclic=True),
            DAYS,
        ),
        Task(
            "month after",
            (
                *("what month comes after {it}?", "which month comes after {it}?", "which month is after {it}?"),
                *("it is {it} now. what is the next month?", "tell me which month comes after {it}"),
            ),
            _AFTER,
            _neighbour(MONTHS, 1, cyclic=True),
            MONTHS,
        ),
        Task(
            "month before",
            (
                *("what month comes before {it}?", "which month comes before {it}?", "which month is before {it}?"),
                *("it is {it} now. what was the last month?", "tell me which month comes before {it}"),
            ),
            _BEFORE,
            _neighbour(MONTHS, -1, cyclic=True),
            MONTHS,
        ),
    ),
}
"""Family -> its kinds of question."""
