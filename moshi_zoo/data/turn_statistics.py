"""Who speaks when: speech, pauses, gaps and overlaps in seconds a minute (Moshi paper, 5.6, after dGSLM)."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

Span = tuple[float, float]
"""Start and end in seconds."""

_JOINED_S = 0.2  # speech with less silence in between is one inter-pausal unit


@dataclass(frozen=True)
class TurnStatistics:
    """Seconds; those of several dialogues can be added.

    Args:
        seconds: From the first speech to the last.
        ipu: Inter-pausal units: speech of either speaker with at least 0.2 s of silence on both sides.
        pause: Silence between two of one speaker.
        gap: Silence between one of one speaker and one of the other.
        overlap: Both are within one.
    """

    seconds: float = 0.0
    ipu: float = 0.0
    pause: float = 0.0
    gap: float = 0.0
    overlap: float = 0.0

    def __add__(self, other: "TurnStatistics") -> "TurnStatistics":
        return TurnStatistics(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def per_minute(self) -> dict[str, float]:
        """Seconds a minute of each."""
        minutes = max(self.seconds, 1e-9) / 60
        return {name: getattr(self, name) / minutes for name in ("ipu", "pause", "gap", "overlap")}


def turn_statistics(moshi: Iterable[Span], user: Iterable[Span]) -> TurnStatistics:
    """Statistics of a dialogue.

    A unit that lies within one of the other speaker (a backchannel) is overlap, and takes no turn: what its speaker
    interrupted goes on without a gap.

    Args:
        moshi: When Moshi speaks, in any order; words will do.
        user: When the user does.
    """
    units = {"moshi": inter_pausal_units(moshi), "user": inter_pausal_units(user)}
    spoken = sorted((start, end, who) for who, spans in units.items() for start, end in spans)
    if not spoken:
        return TurnStatistics()
    pause = gap = overlap = 0.0
    until, last = spoken[0][1], spoken[0][2]  # somebody speaks until then; whose speech ends last
    for start, end, who in spoken[1:]:
        if start > until:
            if who == last:
                pause += start - until
            else:
                gap += start - until
        overlap += max(min(end, until) - start, 0.0)
        if end > until:
            until, last = end, who
    ipu = sum(end - start for start, end, _ in spoken)
    return TurnStatistics(until - spoken[0][0], ipu, pause, gap, overlap)


def inter_pausal_units(spans: Iterable[Span]) -> list[Span]:
    """Speech of one speaker with at least 0.2 s of silence on both sides.

    Args:
        spans: When he speaks, in any order.
    """
    units: list[Span] = []
    for start, end in sorted(spans):
        if units and start - units[-1][1] < _JOINED_S:
            units[-1] = units[-1][0], max(units[-1][1], end)
        else:
            units.append((start, end))
    return units
