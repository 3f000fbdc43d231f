"""Dialogues in which users say nothing but digits, so that recorded digits can take their part.

Who says one digit wants to hear the next two; who says more wants them repeated. Nobody says which: Moshi has to hear
it, to remember, and to notice when the user has finished. Rows of three digits and more are held out of training as in
:mod:`moshi_zoo.data.dialogue_tasks`, and so are pairs.
"""

import random

from moshi_zoo.data.dialogue import Dialogue, Turn
from moshi_zoo.data.dialogue_tasks import DIGITS, Split, split_of, split_of_digits

FAMILY = "spoken digits"

_LENGTHS = (1, 1, 2, 2, 3, 3, 4)  # of what the user says
_BARGE_IN_SHARE = 0.1  # of exchanges
_SILENT_SHARE = 0.1  # of dialogues
_SILENCE_S = (3.0, 8.0)


def digit_dialogue(seed: int, split: Split, number: int) -> Dialogue:
    """The dialogue of a number: two or three exchanges, or a user who is silent, to whom Moshi says nothing."""
    rng = random.Random(f"{seed}/{FAMILY}/{split}/{number}")
    if rng.random() < _SILENT_SHARE:
        silence = Turn("user", "", pause_s=round(rng.uniform(*_SILENCE_S), 1))
        return Dialogue(FAMILY, (silence, Turn("moshi", "", expected="")))
    turns: list[Turn] = []
    for _ in range(rng.randint(2, 3)):
        asked, answer = _exchange(rng, split)
        interrupts = turns and rng.random() < _BARGE_IN_SHARE and _break_off(turns, rng)
        turns += [
            Turn("user", " ".join(asked), "interrupts" if interrupts else "none"),
            Turn("moshi", " ".join(answer), expected=" ".join(answer)),
        ]
    return Dialogue(FAMILY, tuple(turns))


def _exchange(rng: random.Random, split: Split) -> tuple[list[str], list[str]]:
    length = rng.choice(_LENGTHS)
    while True:
        digits = [rng.randrange(10) for _ in range(length)]
        if length == 1:
            return _words(digits), _words([(digits[0] + 1) % 10, (digits[0] + 2) % 10])
        if (split_of_digits(digits) if length > 2 else split_of(f"digits/{digits}")) == split:
            return _words(digits), _words(digits)


def _break_off(turns: list[Turn], rng: random.Random) -> bool:
    """Shorten Moshi's last reply to what it can say before it is interrupted."""
    said = turns[-1].text.split()
    turns[-1] = Turn("moshi", " ".join(said[: rng.randrange(1, len(said))]))
    return True


def _words(digits: list[int]) -> list[str]:
    return [DIGITS[digit] for digit in digits]
