"""Streaming text to speech: Moshi reads aloud what it is given (Moshi paper 5.7, "streaming TTS").

Nobody is heard. The text row runs ahead of the voice by the delay that the model was trained with.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moshi_zoo.runtime.conversations import Conversations, Heard, Spoken
from moshi_zoo.runtime.reading import Pause, Reading
from moshi_zoo.runtime.settings import Hooks, TalkSettings
from moshi_zoo.runtime.streams import run, whole_frames
from moshi_zoo.runtime.words import SpokenWord, WordStream
from moshi_zoo.word_tokens import WordTokens

SETTINGS = TalkSettings(mode="tts")

_LINE = re.compile(r"\s*(moshi|user)\s*:\s*(.*)", re.IGNORECASE)


@dataclass(frozen=True)
class Pace:
    """How fast a text is read.

    Args:
        max_pause_s: between two words at most.
        turn_s: where a script goes on with Moshi's next line.
        tail_s: after the last word.

    Raises:
        ValueError: if a time is negative.
    """

    max_pause_s: float = 0.64
    turn_s: float = 0.64
    tail_s: float = 0.4

    def __post_init__(self) -> None:
        if min(self.max_pause_s, self.turn_s, self.tail_s) < 0:
            raise ValueError(f"{self}: times must not be negative")


@dataclass(frozen=True)
class Speech:
    """What was read aloud.

    Args:
        codes: of the voice, int64 [K, T].
        wav: its sound [S]; None without a codec.
        words: with their times in it.
    """

    codes: Tensor
    wav: NDArray[np.float32] | None
    words: list[SpokenWord]


class Speaker:
    """Reads one text aloud.

    Args:
        text: one text, or a script: lines that begin with ``moshi:`` or ``user:``, of which Moshi's are read.
        conversations: in which this becomes one; has the model.
        text_delay_s: how long before its sound the model writes a word. None: as it has learnt it.
        pace: how fast.
        settings: the mode becomes ``tts``; a padding bonus above 0 makes it slower.
        on_frame: is told each frame of the voice as soon as there is one.

    Raises:
        ValueError: if there is nothing to read.
    """

    def __init__(
        self,
        text: str,
        conversations: Conversations,
        *,
        text_delay_s: float | None = None,
        pace: Pace | None = None,
        settings: TalkSettings = SETTINGS,
        on_frame: Callable[[Spoken], None] | None = None,
    ):
        if text_delay_s is None:
            text_delay_s = conversations.text_layout.delay_s("tts")
        if text_delay_s < 0:
            raise ValueError(f"the text delay ({text_delay_s} s) must not be negative: text comes before speech")
        pace = pace or Pace()
        moshi, tokenizer, rate = conversations.moshi, conversations.tokenizer, conversations.frame_rate
        self.settings = replace(settings, mode="tts")
        self.hooks = Hooks(on_text=self._next)
        self._reading = Reading(
            _entries(text, conversations, whole_frames(pace.turn_s, rate)),
            tokenizer,
            pad=moshi.pad_token,
            epad=moshi.epad_token,
            max_pause=whole_frames(pace.max_pause_s, rate),
        )
        self._stream = WordStream(tokenizer, silent=(moshi.pad_token, moshi.epad_token), frame_rate=rate, first=1)
        self._late = max(moshi.delays.rows[1 : 1 + moshi.num_own_codebooks])
        self._delay = whole_frames(text_delay_s, rate)
        self._left = self._delay + whole_frames(pace.tail_s, rate) + self._late  # steps after the last word
        self.on_frame = on_frame
        self._step = 0
        self.words: list[SpokenWord] = []
        self._frames: list[Tensor] = []
        self._wavs: list[NDArray[np.float32]] = []

    def hear(self) -> Heard:
        """Nobody is there."""
        return None

    def take(self, spoken: Spoken) -> bool:
        """Take a frame."""
        if word := self._stream.add(spoken.text):
            self.words.append(word)
        self._step += 1
        if spoken.codes is not None and self._step - self._late >= self._delay:  # before, the text had not begun
            self._frames.append(spoken.codes)
            if spoken.wav is not None:
                self._wavs.append(spoken.wav)
            if self.on_frame:
                self.on_frame(spoken)
        if self._reading.is_over:
            self._left -= 1
        return self._left > 0

    def speech(self) -> Speech:
        """All of it."""
        wav = np.concatenate(self._wavs) if self._wavs else None
        return Speech(torch.stack(self._frames, dim=1), wav, self.words)

    def _next(self, drawn: int) -> int:
        return self._reading.next(drawn)


def speak(
    conversations: Conversations,
    texts: Sequence[str],
    *,
    text_delay_s: float | None = None,
    pace: Pace | None = None,
    settings: Sequence[TalkSettings] | TalkSettings = SETTINGS,
    on_done: Callable[[int], None] | None = None,
) -> list[Speech]:
    """Read texts aloud, as many at a time as there are rows.

    Args:
        conversations: with free rows; without a codec, there are codes and no sound.
        texts: as for :class:`Speaker`.
        text_delay_s: how long before its sound the model writes a word. None: as it has learnt it.
        pace: how fast.
        settings: of each or of all; the mode becomes ``tts``.
        on_done: is told the number of a text when it has been read.

    Raises:
        ValueError: if a text is empty.
    """
    each = [settings] * len(texts) if isinstance(settings, TalkSettings) else settings
    speakers = [
        Speaker(text, conversations, text_delay_s=text_delay_s, pace=pace, settings=own)
        for text, own in zip(texts, each, strict=True)
    ]
    run(conversations, speakers, on_done)
    return [speaker.speech() for speaker in speakers]


def moshi_lines(text: str) -> list[str]:
    """What Moshi says in a script; of a text that is none, all."""
    lines = [line for line in text.splitlines() if line.strip()]
    matches = [_LINE.fullmatch(line) for line in lines]
    if not any(matches):
        return [text] if text.strip() else []
    strange = next((line for line, match in zip(lines, matches, strict=True) if not match), None)
    if strange is not None:
        raise ValueError(f"{strange!r} does not say who speaks, other lines do: begin it with 'moshi:' or 'user:'")
    return [match[2] for match in matches if match and match[1].lower() == "moshi" and match[2].strip(" .")]


def _entries(text: str, conversations: Conversations, turn: int) -> Iterator[tuple[int, ...] | Pause]:
    lines = moshi_lines(text)
    if not lines:
        raise ValueError("there is nothing to read aloud: give a text, or a script with lines 'moshi: ...'")
    tokens = WordTokens(conversations.tokenizer)
    for number, line in enumerate(lines):
        if number:
            yield Pause(turn)
        yield from map(tokens, line.split())
