"""When each turn of a dialogue begins: gaps and overlaps as people have them.

Moshi's replies come a quarter of a second after the user has finished, unless it is to take more time: never before,
since what has not been asked cannot be answered. Users are people: four of ten of their turns begin before the other is
quite done, and some take their time. `data inspect` shows what it comes to, beside telephone calls.
"""

import random
from collections.abc import Sequence

from moshi_zoo.data.dialogue import Turn

_LEAD_S = (0.3, 0.9)  # before the first turn
_TAIL_S = (0.6, 1.4)  # after the last one
REPLY_S = 0.24
"""Time that Moshi takes to reply, in the mean: three frames."""

_REPLY_SPREAD_S, _REPLY_LEAST_S, _REPLY_MOST_S = 0.08, 0.08, 0.36  # more or less one frame; beyond the mean at most
_USER_S, _USER_SPREAD_S, _USER_RANGE_S = 0.1, 0.4, (-0.5, 1.5)
_OVERLAPPED_SHARE = 0.4  # of a turn that the next may talk over
_STOPS_S = (0.16, 0.32)  # after an interruption has begun
_BACKCHANNEL_S = (-0.3, 0.1)  # from the end of what it answers
_GOES_ON_S = (0.15, 0.45)  # pause within a turn
_BREATH_S = 0.05  # between two turns of one speaker, at least


def schedule(
    turns: Sequence[Turn], durations: Sequence[float], rng: random.Random, *, reply_s: float = REPLY_S
) -> tuple[list[float], float]:
    """Draw when turns begin, in seconds, and when the dialogue is over.

    Args:
        turns: Of a dialogue.
        durations: How long each is spoken, 0 for those in silence.
        rng: Source of the draws.
        reply_s: Time that Moshi takes to reply, in the mean.

    Returns:
        The start of each turn, and the length of the whole.
    """
    starts: list[float] = []
    free = {"user": 0.0, "moshi": 0.0}  # from when on each may speak
    floor_from, floor_to = 0.0, rng.uniform(*_LEAD_S)  # how long the floor is held
    holder: str | None = None
    for turn, duration in zip(turns, durations, strict=True):
        if not turn.text:
            floor_to += turn.pause_s
            starts.append(floor_to)
            continue
        if holder is None:
            offset = 0.0
        elif turn.overlap == "interrupts":
            offset = -rng.uniform(*_STOPS_S)
        elif turn.overlap == "backchannel":
            offset = rng.uniform(*_BACKCHANNEL_S)
        elif holder == turn.speaker:
            offset = rng.uniform(*_GOES_ON_S)
        elif turn.speaker == "moshi":
            offset = _within(rng.gauss(reply_s, _REPLY_SPREAD_S), _REPLY_LEAST_S, reply_s + _REPLY_MOST_S)
        else:
            offset = _within(rng.gauss(_USER_S, _USER_SPREAD_S), *_USER_RANGE_S)
        earliest = floor_to - _OVERLAPPED_SHARE * (floor_to - floor_from) if holder else 0.0
        start = max(floor_to + offset, earliest, free[turn.speaker]) + turn.pause_s
        free[turn.speaker] = start + duration + _BREATH_S
        if turn.overlap != "backchannel":
            holder, floor_from, floor_to = turn.speaker, start, start + duration
        starts.append(start)
    return starts, max(floor_to, *free.values()) + rng.uniform(*_TAIL_S)


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
