"""The embedded dialogue text: dialogues between a user and Moshi from templates, as many as wanted.

For a machine with no network and no data: text for Helium to learn, and scripts to be voiced for Moshi. The words are
few (under five hundred) and all can be spoken; most of Moshi's turns have one right answer, so what a model has learnt
can be measured exactly. Splits share no exercise: see :mod:`moshi_zoo.data.dialogue_tasks`.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count

from moshi_zoo import registry
from moshi_zoo.data import dialogue_talk as talk
from moshi_zoo.data.dialogue import Dialogue, Turn
from moshi_zoo.data.dialogue_questions import TASKS
from moshi_zoo.data.dialogue_tasks import Split

_Writer = Callable[[random.Random, Split], list[Turn]]
_WRITERS: dict[str, tuple[_Writer, int]] = {  # with the most times that a dialogue repeats it
    **{family: (partial(talk.question_and_answer, families=(family,)), 3) for family in TASKS},
    "small talk": (talk.small_talk, 1),
    "interruptions": (talk.interruption, 2),
    "backchannels": (talk.backchannels, 2),
    "silence": (talk.silence, 2),
}

FAMILIES = tuple(_WRITERS)
"""What dialogues are about."""


def dialogues(
    seed: int = 0, split: Split = "train", *, start: int = 0, families: Sequence[str] = FAMILIES
) -> Iterator[Dialogue]:
    """Dialogues without end, always the same for a seed.

    Args:
        seed: of the draws.
        split: whose exercises; none occurs in two splits.
        start: number of the first one, to go on where another process stopped.
        families: which, in equal shares.

    Raises:
        ValueError: if a family does not exist.
    """
    check_families(families)
    return (dialogue(seed, split, number, families=families) for number in count(start))


def named_families(names: str) -> tuple[str, ...]:
    """Families by their names, separated by commas.

    Raises:
        ValueError: if one does not exist.
    """
    return check_families([name.strip() for name in names.split(",")])


def check_families(families: Sequence[str]) -> tuple[str, ...]:
    """The same, if they exist.

    Raises:
        ValueError: if one does not.
    """
    for family in families:
        if family not in _WRITERS:
            raise ValueError(registry.unknown("family of dialogues", family, FAMILIES))
    return tuple(families)


def dialogue(seed: int, split: Split, number: int, *, families: Sequence[str] = FAMILIES) -> Dialogue:
    """The dialogue of a number, without those before it."""
    rng = random.Random(f"{seed}/{split}/{number}")
    family = rng.choice(families)
    write, most = _WRITERS[family]
    turns = talk.greeting(rng) if rng.random() < 0.25 else []
    for _ in range(rng.randint(1, most)):
        turns += write(rng, split)
    if rng.random() < 0.25:
        turns += talk.goodbye(rng)
    return Dialogue(family, tuple(turns))
