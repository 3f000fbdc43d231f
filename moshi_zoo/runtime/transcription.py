"""Streaming speech recognition: the user's words, as they are heard (Moshi paper 5.7, "streaming ASR").

In the mode ``asr``, Moshi's own rows are empty, and its text is what the user says, some frames later: the delay that
it was trained with. No time goes into a voice. In the mode ``duplex``, Moshi talks with the user, and what it writes
down of him meanwhile is taken; not all models do.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from moshi_zoo.modules.code_embedding import NOTHING
from moshi_zoo.runtime.conversations import Conversations, Heard, Spoken
from moshi_zoo.runtime.settings import Hooks, TalkSettings
from moshi_zoo.runtime.streams import Recording, frames, run, whole_frames
from moshi_zoo.runtime.words import SpokenWord, WordStream

ListeningMode = Literal["asr", "duplex"]
SETTINGS: dict[ListeningMode, TalkSettings] = {
    "asr": TalkSettings(text_temperature=0.0, mode="asr"),
    "duplex": TalkSettings(),
}
"""Who only listens takes the likeliest token: what was said leaves little to chance. Who talks draws as ever."""

_LAST_WORD_S = 0.4  # to spell what begins last


@dataclass(frozen=True)
class Transcript:
    """What was heard.

    Args:
        words: with their times in the recording.
        tokens: of all frames, from the second on.
    """

    words: list[SpokenWord]
    tokens: list[int]

    @property
    def text(self) -> str:
        """The words with spaces between."""
        return " ".join(word.text for word in self.words)


class Transcriber:
    """Writes one stream down.

    Args:
        heard: frames of it.
        conversations: in which this becomes one; has the model.
        text_delay_s: how long after its sound the model writes a word. None: as it has learnt it.
        mode: in which the model listens; it becomes that of the settings.
        settings: of the conversation; None: the usual ones of the mode.
        on_word: is told each word as soon as it is complete.
        silence: a frame in which nothing is said; some are needed after the end.

    Raises:
        ValueError: if the delay is negative, or the model does not write down what it hears in this mode.
    """

    def __init__(
        self,
        heard: Iterable[Heard],
        conversations: Conversations,
        *,
        text_delay_s: float | None = None,
        mode: ListeningMode = "asr",
        settings: TalkSettings | None = None,
        on_word: Callable[[SpokenWord], None] | None = None,
        silence: Heard = None,
    ):
        moshi, rate, is_mute = conversations.moshi, conversations.frame_rate, mode == "asr"
        if not (is_mute or _takes_notes(conversations)):
            raise ValueError("this model does not write down what it hears while it talks: take the mode asr")
        if text_delay_s is None:
            text_delay_s = -conversations.text_layout.delay_s("asr" if is_mute else "heard")
        if text_delay_s < 0:
            raise ValueError(f"the text delay ({text_delay_s} s) must not be negative: words are written once heard")
        self.settings = replace(settings or SETTINGS[mode], mode=mode)
        self.hooks = Hooks(on_text=self._known_text) if is_mute else None
        # of the first frames, no text could be known in training
        self._first = whole_frames(text_delay_s, rate)
        self._left = self._first + whole_frames(_LAST_WORD_S, rate)  # frames of silence after the end
        self._heard, self._silence, self._on_word = iter(heard), silence, on_word
        self._ended = False
        self._stream = WordStream(
            conversations.tokenizer,
            silent=(moshi.pad_token, moshi.epad_token),
            frame_rate=rate,
            first=1,
            delay_s=text_delay_s,
            heard_delay_s=text_delay_s,
            speaker="user" if is_mute else "moshi",
        )
        self.words: list[SpokenWord] = []
        self.tokens: list[int] = []

    def hear(self) -> Heard:
        """The next frame, or silence after the last."""
        if not self._ended:
            for frame in self._heard:
                return frame
            self._ended = True
        self._left -= 1
        return self._silence

    def take(self, spoken: Spoken) -> bool:
        """Take a token."""
        self.tokens.append(spoken.text)
        self._add(self._stream.add(spoken.text))
        if self._ended and self._left <= 0:
            self._add(self._stream.end())
            return False
        return True

    def _known_text(self, token: int) -> int:
        return NOTHING if len(self.tokens) + 1 < self._first else token

    def _add(self, word: SpokenWord | None) -> None:
        if word is not None and word.speaker == "user":
            self.words.append(word)
            if self._on_word:
                self._on_word(word)


def transcribe(
    conversations: Conversations,
    recordings: Sequence[Recording],
    *,
    text_delay_s: float | None = None,
    mode: ListeningMode = "asr",
    settings: TalkSettings | None = None,
    on_done: Callable[[int], None] | None = None,
) -> list[Transcript]:
    """Write recordings down, as many at a time as there are rows.

    Args:
        conversations: with free rows; without a codec, recordings must be codes.
        recordings: samples [S] at the codec's rate, or codes, int64 [user codebooks, T]; without a codec, what is
            heard after their end is their last frame.
        text_delay_s: how long after its sound the model writes a word. None: as it has learnt it.
        mode: in which the model listens.
        settings: of all; None: the usual ones of the mode.
        on_done: is told the number of a recording when it has been written down.
    """
    silent = silence(conversations)
    streams: list[Transcriber] = []

    def all_streams() -> Iterator[Transcriber]:
        for recording in recordings:
            in_codes = isinstance(recording, torch.Tensor)
            heard = frames(recording, 0 if in_codes else conversations.frame_size)
            # Without a codec to say how silence sounds, the end goes on: with nobody there, models invent users.
            after = recording[:, -1] if silent is None and in_codes and recording.shape[1] else silent
            how = {"text_delay_s": text_delay_s, "mode": mode, "settings": settings, "silence": after}
            streams.append(Transcriber(heard, conversations, **how))
            yield streams[-1]

    run(conversations, all_streams(), on_done)
    return [Transcript(stream.words, stream.tokens) for stream in streams]


def _takes_notes(conversations: Conversations) -> bool:
    """Whether the model may write down what it hears while it talks; where that is not known, it may."""
    return conversations.tokenizer.heard is not None and conversations.text_layout.of in ("", "moshi_and_heard")


@torch.inference_mode()
def silence(conversations: Conversations) -> Heard:
    """A frame in which nothing is said, in codes; without a codec: nobody is there."""
    codec = conversations.codec
    if codec is None or not conversations.moshi.num_user_codebooks:
        return None
    quiet = torch.zeros(1, 1, codec.sample_rate, device=conversations.device)
    return codec.encode(quiet, conversations.moshi.num_user_codebooks)[0, :, -1]
