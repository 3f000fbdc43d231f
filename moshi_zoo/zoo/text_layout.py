"""How words lie in the row of text that a speech language model has learnt: who uses or goes on training it must know.

A model learns one layout; text that lies otherwise is to it another language, and training on it makes it unlearn.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from moshi_zoo import registry

_OF = ("", "moshi", "user", "both", "moshi_and_heard")
_DELAYS_S = {"duplex": 0.0, "asr": -0.64, "tts": 0.4, "heard": 0.0}
_LONGEST_DELAY_S = 60.0
_SAME_S = 1e-6  # of floating point


@dataclass(frozen=True)
class TextLayout:
    """How words lie in the row of text; empty where that is not known.

    Args:
        of: whose words there are in a conversation: ``moshi``, ``user``, ``both``, or ``moshi_and_heard``.
        delays_s: how much earlier than the speech they are, in seconds, in each mode that was trained (``duplex``,
            ``asr``, ``tts``); ``heard``: those of the user's in a conversation. Below 0 they follow it.
    """

    of: str = ""
    delays_s: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        delays = ", ".join(f"{mode} {delay:g} s" for mode, delay in self.delays_s.items())
        return f"{self.of or 'unknown'} ({delays})" if delays else self.of or "unknown"

    def delay_s(self, mode: str) -> float:
        """Of one mode; where it is not known, that of the nano recipes."""
        return self.delays_s.get(mode, _DELAYS_S[mode])

    def contradicts(self, other: "TextLayout") -> bool:
        """Whether the two say different things of what both know; a mode that only one knows is no contradiction."""
        shared = self.delays_s.keys() & other.delays_s.keys()
        if any(abs(self.delays_s[mode] - other.delays_s[mode]) > _SAME_S for mode in shared):
            return True
        return "duplex" in shared and bool(self.of and other.of) and self.of != other.of  # else no conversations

    def extended(self, other: "TextLayout") -> "TextLayout":
        """This one, with what only the other knows."""
        return TextLayout(self.of or other.of, {**other.delays_s, **self.delays_s})


def read_text_layout(value: Any) -> TextLayout:
    """Read the entry of a config.

    Raises:
        ValueError: if it makes no sense.
    """
    layout = _mapping("text_layout", value)
    for key in layout.keys() - {"of", "delays_s"}:
        raise ValueError(registry.unknown("entry of text_layout", str(key), ["of", "delays_s"]))
    of, delays = layout.get("of", ""), _mapping("text_layout.delays_s", layout.get("delays_s", {}))
    if of not in _OF:
        raise ValueError(f"text_layout.of is {of!r}; it must be one of {', '.join(_OF[1:])}")
    for mode, delay in delays.items():
        if mode not in _DELAYS_S:
            raise ValueError(registry.unknown("mode of text_layout", str(mode), list(_DELAYS_S)))
        if type(delay) not in (int, float) or not -_LONGEST_DELAY_S <= delay <= _LONGEST_DELAY_S:
            raise ValueError(f"text_layout.delays_s.{mode} is {delay!r}; it must be a number of seconds, 60 at most")
    return TextLayout(of, {mode: float(delay) for mode, delay in delays.items()})


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be a mapping, not {value!r}")
    return value
