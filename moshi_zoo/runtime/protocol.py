"""Kyutai's websocket protocol: binary messages whose first byte is their kind (`rust/protocol.md` of kyutai/moshi).

Differs: the handshake is the one byte of Kyutai's Python server (its Rust server adds eight, which no client reads),
and what clients put into the query is honoured. TEXT is what Moshi says. Clients that ask for it with ``heard=1`` get
HEARD messages, too: what the user says, where the model has learnt to write it down.
"""

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from moshi_zoo.runtime.settings import TalkSettings
from moshi_zoo.zoo.sampling import Sampling

MAX_SEED = 2**31
HEARD_COLOUR = b"\1"
"""Begins the payload of HEARD, which thereby has the form of coloured text of Kyutai's web client."""
AudioFormat = Literal["opus", "pcm"]
"""What audio messages hold: one Ogg stream of Opus, or 16-bit little-endian samples."""


class Kind(IntEnum):
    """First byte of a message. Clients send AUDIO, CONTROL and PING; the official web client fails on kinds above 7."""

    HANDSHAKE = 0
    AUDIO = 1
    TEXT = 2
    CONTROL = 3
    METADATA = 4
    ERROR = 5
    PING = 6
    HEARD = 7


class Control(IntEnum):
    """The byte of a CONTROL message. Two who speak at once have no turns: END_TURN does nothing."""

    START = 0
    END_TURN = 1
    PAUSE = 2
    RESTART = 3


class CloseCode(IntEnum):
    """Why a websocket was closed (RFC 6455 7.4.1, and the registry it began)."""

    OK = 1000
    GOING_AWAY = 1001
    INVALID_DATA = 1007
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    TRY_AGAIN_LATER = 1013


@dataclass(frozen=True)
class ChatQuery:
    """What a client asks for in the query of ``/api/chat``.

    Args:
        settings: of the conversation.
        format: of audio messages in both directions.
        heard: whether what the user says is sent, too, where the model writes it down.
    """

    settings: TalkSettings
    format: AudioFormat
    heard: bool = False


def message(kind: Kind, payload: bytes = b"") -> bytes:
    """A message."""
    return bytes([kind]) + payload


def control_of(payload: bytes) -> Control | None:
    """What a CONTROL message asks for; None if nothing that is known."""
    return Control(payload[0]) if len(payload) == 1 and payload[0] in list(Control) else None


def read_query(query: Mapping[str, str], sampling: Sampling | None = None) -> ChatQuery:
    """Read the names that the official web client sends; others are ignored. Without a seed, chance gives one.

    Args:
        query: what the client asks for.
        sampling: the model's, where it asks for nothing else.

    Raises:
        ValueError: if a value cannot be used.
    """
    seed = next((query[name] for name in ("text_seed", "audio_seed") if query.get(name)), None)
    default, sampling = TalkSettings(), sampling or Sampling()
    settings = TalkSettings(
        text_temperature=_number(query, "text_temperature", sampling.text_temperature, at_most=10.0),
        text_top_k=_integer(query, "text_topk", default.text_top_k),
        audio_temperature=_number(query, "audio_temperature", sampling.audio_temperature, at_most=10.0),
        audio_top_k=_integer(query, "audio_topk", default.audio_top_k),
        padding_bonus=_number(query, "pad_mult", default.padding_bonus, at_least=-100.0, at_most=100.0),
        seed=secrets.randbelow(MAX_SEED) if seed is None else _integer({"seed": seed}, "seed", 0),
    )
    form = query.get("format") or "opus"
    if form != "opus" and form != "pcm":
        raise ValueError(f"format is {form!r}: it should be opus or pcm")
    heard = query.get("heard") or "0"
    if heard not in ("0", "1"):
        raise ValueError(f"heard is {heard[:20]!r}: it should be 0 or 1")
    return ChatQuery(settings, form, heard == "1")


def _number(
    query: Mapping[str, str], name: str, default: float, *, at_least: float = 0.0, at_most: float = math.inf
) -> float:
    text = query.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not at_least <= value <= at_most:  # also true of nan
        raise ValueError(f"{name} is {text[:20]!r}: it should be a number from {at_least:g} to {at_most:g}")
    return value


def _integer(query: Mapping[str, str], name: str, default: int) -> int:
    value = _number(query, name, default, at_most=MAX_SEED)
    if value != int(value):
        raise ValueError(f"{name} is {value}: it should be a whole number")
    return int(value)
