"""From the name of a Moshi to conversations with it, for all verbs that talk, listen or read aloud."""

from typing import TYPE_CHECKING

from moshi_zoo.cli.aside import say_aside
from moshi_zoo.cli.load_codec import check_device

if TYPE_CHECKING:
    from moshi_zoo.modules.quantised_layers import Precision
    from moshi_zoo.runtime.compiled import Compile
    from moshi_zoo.runtime.conversations import Conversations


def load_conversations(
    name: str,
    *,
    codec: str | None,
    voice: str | None = None,
    max_sessions: int = 1,
    device: str,
    weights: "Precision | None" = None,
    compile: "Compile" = "never",
) -> "Conversations":
    """Load a Moshi with its codec.

    Args:
        name: what the user typed.
        codec: name of its codec; None: the one that it was trained with.
        voice: name of an adapter of the Moshi.
        max_sessions: conversations at once.
        device: where to compute.
        weights: of the Moshi, in fewer bits; None: as they are.
        compile: compile the steps, and say so on standard error.

    Raises:
        ValueError: if there is no such model or device, or they do not fit each other.
    """
    check_device(device)

    from moshi_zoo.runtime import loading

    return loading.load_conversations(
        name,
        codec=codec,
        voice=voice,
        max_sessions=max_sessions,
        device=device,
        weights=weights,
        compile=compile,
        tell=say_aside,
    )
