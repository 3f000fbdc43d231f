"""The dialogue as it was written: who speaks when, which answers are right, and who was to be silent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moshi_zoo.data.dialogue import Overlap, Speaker

_EARLY_S = 0.3  # before the question is over: a word may begin while the user's last sound fades


@dataclass(frozen=True)
class TimedTurn:
    """A turn of a written dialogue, as it was spoken; see :class:`moshi_zoo.data.dialogue.Turn`."""

    speaker: Speaker
    text: str
    overlap: Overlap
    expected: str | None
    start_s: float
    end_s: float

    @property
    def holds_floor(self) -> bool:
        """Whether somebody speaks, and not only to say that he listens."""
        return bool(self.text) and self.overlap != "backchannel"


@dataclass(frozen=True)
class Question:
    """Something that has one right answer.

    Args:
        expected: its words; empty: silence is right.
        asked_s: when the question is over.
        start_s: from when on an answer is heard.
        end_s: until when.
    """

    expected: str
    asked_s: float
    start_s: float
    end_s: float


def timed_turns(about: Mapping[str, Any]) -> list[TimedTurn]:
    """The turns among what a store knows about a dialogue; none, where nothing is known of them."""
    return [
        TimedTurn(
            turn["speaker"], turn["text"], turn["overlap"], turn["expected"], float(turn["start_s"]), turn["end_s"]
        )
        for turn in about.get("turns", ())
    ]


def questions(turns: Sequence[TimedTurn], seconds: float) -> list[Question]:
    """What the user asks, in order.

    An answer counts from when the question is over until the user has finished the next one: users begin while Moshi
    still speaks, and nobody can answer what he has not heard. The user's *mhm* divides no answer.

    Args:
        turns: of the dialogue.
        seconds: its length.
    """
    found = []
    for i, turn in enumerate(turns):
        if turn.speaker != "moshi" or turn.expected is None:
            continue
        asked = [k for k in range(i) if turns[k].speaker == "user" and turns[k].holds_floor]
        following = [t for t in turns[i + 1 :] if t.speaker == "user" and t.holds_floor]
        before = turns[asked[-1] + 1 : i] if asked else ()
        begun = [t.text for t in before if t.speaker == "moshi" and t.holds_floor]
        asked_s = turns[asked[-1]].end_s if asked else 0.0
        found.append(
            Question(
                expected=" ".join([*begun, turn.expected]) if turn.expected else "",
                asked_s=asked_s,
                start_s=max(asked_s - _EARLY_S, 0.0),
                end_s=following[0].end_s if following else seconds,
            )
        )
    return found
