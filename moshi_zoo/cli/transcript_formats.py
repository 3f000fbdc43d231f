"""How a transcript is written, word by word: as text, as JSON lines, as subtitles."""

import json
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from moshi_zoo.runtime.words import SpokenWord

_PARAGRAPH_S = 2.0  # of silence begin a new line of text
_CUE_S, _CUE_GAP_S, _CUE_CHARACTERS = 6.0, 1.0, 42  # what is read at a glance
_LAST_WORD_S = 0.6  # how long a cue stays after its last word has begun


class TranscriptWriter(Protocol):
    """Writes words as they come."""

    def __init__(self, target: TextIO): ...

    def add(self, word: "SpokenWord") -> None:
        """Take the next word."""
        ...

    def end(self) -> None:
        """There are no more."""
        ...


class TextWriter:
    """Words with spaces between; a new line after a long silence."""

    def __init__(self, target: TextIO):
        self._target, self._last_s = target, 0.0
        self._between = ""

    def add(self, word: "SpokenWord") -> None:
        """Take the next word."""
        if self._between and word.start_s - self._last_s > _PARAGRAPH_S:
            self._between = "\n"
        self._target.write(self._between + word.text)
        self._target.flush()
        self._between, self._last_s = " ", word.start_s

    def end(self) -> None:
        """There are no more."""
        self._target.write("\n")
        self._target.flush()


class JsonLinesWriter:
    """A word with its time in each line."""

    def __init__(self, target: TextIO):
        self._target = target

    def add(self, word: "SpokenWord") -> None:
        """Take the next word."""
        line = {"text": word.text, "start_s": word.start_s, "frame": word.frame, "tokens": word.tokens}
        self._target.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._target.flush()

    def end(self) -> None:
        """There are no more."""


class SubtitleWriter:
    """SubRip: numbered cues of a few words; each is written when the next begins."""

    def __init__(self, target: TextIO):
        self._target, self._number = target, 0
        self._cue: list[SpokenWord] = []

    def add(self, word: "SpokenWord") -> None:
        """Take the next word."""
        if self._cue and self._is_full(word):
            self._write(until=word.start_s)
        self._cue.append(word)

    def end(self) -> None:
        """There are no more."""
        if self._cue:
            self._write(until=float("inf"))

    def _is_full(self, word: "SpokenWord") -> bool:
        text = " ".join(w.text for w in [*self._cue, word])
        silence, length = word.start_s - self._cue[-1].start_s, word.start_s - self._cue[0].start_s
        return silence > _CUE_GAP_S or length > _CUE_S or len(text) > _CUE_CHARACTERS

    def _write(self, until: float) -> None:
        self._number += 1
        start, end = self._cue[0].start_s, min(self._cue[-1].start_s + _LAST_WORD_S, until)
        text = " ".join(word.text for word in self._cue)
        self._target.write(f"{self._number}\n{_clock(start)} --> {_clock(end)}\n{text}\n\n")
        self._target.flush()
        self._cue = []


FORMATS: dict[str, type[TranscriptWriter]] = {"text": TextWriter, "jsonl": JsonLinesWriter, "srt": SubtitleWriter}


def _clock(seconds: float) -> str:
    """``00:01:02,345``."""
    milliseconds = max(round(seconds * 1000), 0)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02},{milliseconds % 1000:03}"
