"""What a cleaning step is: text in, text out, and an account of what it took away."""

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Cut:
    """Something that was taken out of a text.

    Args:
        reason: in a few words, the same for all alike: reasons are counted.
        text: what it was.
    """

    reason: str
    text: str


@dataclass(frozen=True)
class Cleaned:
    """A text after a step.

    Args:
        text: what is left; None: the document is dropped, for the reason of the last cut.
        cuts: what was taken out.
    """

    text: str | None
    cuts: tuple[Cut, ...] = ()


class Step(Protocol):
    """Looks at one document after the other. It may remember what it saw, in bounded memory."""

    name: str

    def __call__(self, text: str) -> Cleaned:
        """Clean a document."""
        ...

    def settings(self) -> dict[str, Any]:
        """How it is set, and what it knows at the end, as plain values for the report."""
        ...


def dropped(reason: str, text: str) -> Cleaned:
    """A document that goes as a whole."""
    return Cleaned(None, (Cut(reason, text),))
