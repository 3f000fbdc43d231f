"""Who speaks when: does Moshi reply in time, wait, stop when it is interrupted, and keep silent?

Pauses, gaps and overlaps as in the Moshi paper (5.6, after dGSLM); taking over, backchannels and the handling of pauses
as in Full-Duplex-Bench (arXiv 2503.04721), but told from the written dialogue instead of from transcripts.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from moshi_zoo.data.alignments import Word
from moshi_zoo.data.turn_statistics import Span, inter_pausal_units, turn_statistics
from moshi_zoo.evaluation.measured import Measured, share
from moshi_zoo.evaluation.measurement import SHARE, Measure, Value
from moshi_zoo.evaluation.script import TimedTurn

_GRACE_S = 0.6  # to notice that the user has begun, and to stop
_BACKCHANNEL_S = 1.0  # the longest (Full-Duplex-Bench)
_BACKCHANNEL_EARLY_S, _BACKCHANNEL_LATE_S = 0.6, 0.6  # around the place that the script has it in
_PAUSE_S = 0.2  # the shortest that divides speech
_GOES_ON_S = 1.0  # after the user's backchannel

REPLY_GAP = Measure("reply_gap", "reply after the user's turn", "s", "neither")
STOP_TIME = Measure("stop_time", "falls silent when interrupted, after", "s", "lower")
_PER_MINUTE = {
    name: Measure(name, title, "s/min", "neither")
    for name, title in {"ipu": "speech of both", "pause": "pauses", "gap": "gaps", "overlap": "overlap"}.items()
}
_TAKEN = Measure("took_turn", "takes its turn", SHARE)
_TALK_OVER = Measure("talk_over", "talks over the user", SHARE, "lower")
_PAUSE_TAKEN = Measure("pause_taken", "takes over in the user's pauses", SHARE, "lower")
_GIVEN = Measure("backchannels_given", "backchannels where the script has one", SHARE)
_GOES_ON = Measure("goes_on", "goes on after the user's backchannel", SHARE)
_WAITS = Measure("waits", "silent where that is right", SHARE)
_SILENT_ALONE = Measure("silent_alone", "time silent beside a user who says nothing", SHARE)
_SPEAKING = Measure("speaking", "time speaking", SHARE, "neither")


@dataclass(frozen=True)
class Scene:
    """A conversation in time.

    Args:
        turns: as written.
        user_words: that the user says.
        moshi: when Moshi speaks.
        seconds: its length.
    """

    turns: Sequence[TimedTurn]
    user_words: Sequence[Word]
    moshi: Sequence[Span]
    seconds: float

    @property
    def user_turns(self) -> list[TimedTurn]:
        """Of the user, without backchannels and silence."""
        return [turn for turn in self.turns if turn.speaker == "user" and turn.holds_floor]


def turn_taking(scene: Scene) -> Measured:
    """All that can be said about a conversation; what does not occur in it is undefined."""
    units = inter_pausal_units(scene.moshi)
    spoken = [unit for unit in units if not _is_backchannel(unit, scene.turns)]
    statistics = turn_statistics(scene.moshi, [(word.start_s, word.end_s) for word in scene.user_words])
    values = {
        **{_PER_MINUTE[name]: Value(v, statistics.seconds) for name, v in statistics.per_minute().items()},
        _SPEAKING: Value(sum(end - start for start, end in units) / scene.seconds, scene.seconds),
        _TALK_OVER: _talk_over(scene, spoken),
        _PAUSE_TAKEN: _pauses_taken(scene, spoken),
        _GIVEN: _backchannels_given(scene, units),
        _GOES_ON: _goes_on(scene, units),
        _WAITS: _waits(scene, units),
    }
    if not scene.user_words:
        values[_SILENT_ALONE] = Value(1 - values[_SPEAKING].value, scene.seconds)
    gaps, taken = _replies(scene, units)
    return Measured({**values, _TAKEN: taken}, {REPLY_GAP: gaps, STOP_TIME: _stop_times(scene, units)})


def _replies(scene: Scene, units: Sequence[Span]) -> tuple[list[float], Value]:
    """Seconds from the user's turns that want a reply to the reply, and in how many of them there is one.

    The reply is the first unit that begins after the turn did and outlasts it, before the user goes on; one that begins
    too early has a gap below 0.
    """
    turns, gaps, num_wanted = scene.user_turns, [], 0
    for turn, until in zip(turns, [*(t.start_s for t in turns[1:]), scene.seconds], strict=False):
        if not _wants_reply(turn, scene.turns):
            continue
        num_wanted += 1
        starts = (start for start, end in units if turn.start_s < start < until and end > turn.end_s)
        if (start := next(starts, None)) is not None:
            gaps.append(start - turn.end_s)
    return gaps, share(len(gaps), num_wanted)


def _wants_reply(turn: TimedTurn, turns: Sequence[TimedTurn]) -> bool:
    """Whether Moshi is to take the floor after a turn."""
    following = [t for t in turns[turns.index(turn) + 1 :] if t.overlap != "backchannel"]
    return bool(following) and following[0].speaker == "moshi" and following[0].holds_floor


def _talk_over(scene: Scene, spoken: Sequence[Span]) -> Value:
    """The share of the user's turns in which Moshi speaks; who is spoken to while speaking has some time to stop."""
    over = total = 0.0
    for turn in scene.user_turns:
        total += turn.end_s - turn.start_s
        for start, end in spoken:
            since = turn.start_s if start >= turn.start_s else turn.start_s + _GRACE_S
            over += max(min(end, turn.end_s) - max(start, since), 0.0)
    return share(over, total)


def _pauses_taken(scene: Scene, spoken: Sequence[Span]) -> Value:
    """In how many pauses of the user, within turns or between those that want no reply, Moshi begins to speak."""
    pauses: list[Span] = []
    for turn in scene.user_turns:
        inside = [w for w in scene.user_words if turn.start_s - 0.01 <= w.start_s and w.end_s <= turn.end_s + 0.01]
        pauses += [(a.end_s, b.start_s) for a, b in itertools.pairwise(inside) if b.start_s - a.end_s >= _PAUSE_S]
    for turn, following in itertools.pairwise(scene.user_turns):
        if not _wants_reply(turn, scene.turns) and following.start_s - turn.end_s >= _PAUSE_S:
            pauses.append((turn.end_s, following.start_s))
    taken = [any(begin < start < end for start, _ in spoken) for begin, end in pauses]
    return share(sum(taken), len(taken))


def _is_backchannel(unit: Span, turns: Sequence[TimedTurn]) -> bool:
    """Whether it is a short sound where the script has Moshi say that it listens."""
    return unit[1] - unit[0] < _BACKCHANNEL_S and any(_at_backchannel(unit, turn) for turn in turns)


def _at_backchannel(unit: Span, turn: TimedTurn) -> bool:
    is_wanted = turn.speaker == "moshi" and turn.overlap == "backchannel"
    return is_wanted and turn.start_s - _BACKCHANNEL_EARLY_S <= unit[0] <= turn.end_s + _BACKCHANNEL_LATE_S


def _backchannels_given(scene: Scene, units: Sequence[Span]) -> Value:
    wanted = [turn for turn in scene.turns if turn.speaker == "moshi" and turn.overlap == "backchannel"]
    short = [unit for unit in units if unit[1] - unit[0] < _BACKCHANNEL_S]
    return share(sum(any(_at_backchannel(unit, turn) for unit in short) for turn in wanted), len(wanted))


def _goes_on(scene: Scene, units: Sequence[Span]) -> Value:
    heard = [turn for turn in scene.turns if turn.speaker == "user" and turn.overlap == "backchannel"]
    on = [any(start < turn.end_s + _GOES_ON_S and end > turn.end_s for start, end in units) for turn in heard]
    return share(sum(on), len(heard))


def _stop_times(scene: Scene, units: Sequence[Span]) -> list[float]:
    """From the user's interruptions to the end of what Moshi was saying; nothing where it was silent."""
    interruptions = [turn.start_s for turn in scene.user_turns if turn.overlap == "interrupts"]
    return [end - begin for begin in interruptions for start, end in units if start < begin < end]


def _waits(scene: Scene, units: Sequence[Span]) -> Value:
    """In how many of the stretches in which Moshi is to say nothing it says nothing."""
    kept = []
    for i, turn in enumerate(scene.turns):
        if turn.speaker != "moshi" or turn.expected != "":
            continue
        before = [t.end_s for t in scene.turns[:i] if t.speaker == "user" and t.holds_floor]
        after = [t.start_s for t in scene.turns[i + 1 :] if t.speaker == "user" and t.holds_floor]
        begin, end = before[-1] if before else 0.0, after[0] if after else scene.seconds
        kept.append(not any(begin < start < end for start, _ in units))
    return share(sum(kept), len(kept))
