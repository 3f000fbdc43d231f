"""Offline full duplex: Moshi talks with users who have been recorded, by the same steps as in real time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moshi_zoo.runtime.conversations import Conversations, Heard, Spoken
from moshi_zoo.runtime.settings import Hooks, TalkSettings, opening_token
from moshi_zoo.runtime.streams import Recording, frames, run
from moshi_zoo.runtime.words import SpokenWord, WordStream


@dataclass(frozen=True)
class Reply:
    """What Moshi said, frame for frame beside what it heard (as in training; it is heard two frames later).

    Args:
        text: tokens, int64 [T]; the first is the opening.
        codes: of the voice, int64 [K, T].
        wav: its sound [S]; None without a codec.
        words: of the inner monologue, with their times; the user's among them, if the model writes them down.
    """

    text: Tensor
    codes: Tensor
    wav: NDArray[np.float32] | None
    words: list[SpokenWord]


class Talker:
    """One conversation with a user; it ends with what he says.

    Args:
        heard: his frames.
        conversations: in which this becomes one; has the model.
        settings: of it.
        hooks: functions with a say in it.
        on_frame: is told what each step brought.
    """

    def __init__(
        self,
        heard: Iterable[Heard],
        conversations: Conversations,
        *,
        settings: TalkSettings | None = None,
        hooks: Hooks | None = None,
        on_frame: Callable[[Spoken], None] | None = None,
    ):
        moshi, tokenizer = conversations.moshi, conversations.tokenizer
        self.settings, self.hooks = settings or TalkSettings(), hooks
        self._heard, self._on_frame = iter(heard), on_frame
        self._coming = next(self._heard, None)
        if self._coming is None:
            raise ValueError("there is nobody to talk with: the user's recording is empty")
        # frames of the voice that are complete only later than their user's
        self._left = max(moshi.delays.rows[1 : 1 + moshi.num_own_codebooks])
        self._words = WordStream(
            tokenizer,
            silent=(moshi.pad_token, moshi.epad_token),
            frame_rate=conversations.frame_rate,
            first=1,
            heard_delay_s=-conversations.text_layout.delay_s("heard"),
        )
        self.words: list[SpokenWord] = []
        self._text = [opening_token(self.settings.mode, tokenizer, pad=moshi.pad_token)]
        self._codes: list[Tensor] = []
        self._wavs: list[NDArray[np.float32]] = []
        self._num_frames = 0

    def hear(self) -> Heard:
        """The user's next frame; None after the last."""
        frame = self._coming
        if frame is None:
            self._left -= 1
            return None
        self._num_frames += 1
        self._coming = next(self._heard, None)
        return frame

    def take(self, spoken: Spoken) -> bool:
        """Take a frame of Moshi's."""
        self._text.append(spoken.text)
        if word := self._words.add(spoken.text):
            self.words.append(word)
        if spoken.codes is not None:
            self._codes.append(spoken.codes)
        if spoken.wav is not None:
            self._wavs.append(spoken.wav)
        if self._on_frame:
            self._on_frame(spoken)
        goes_on = self._coming is not None or self._left > 1
        if not goes_on and (word := self._words.end()):
            self.words.append(word)
        return goes_on

    def reply(self) -> Reply:
        """All of it."""
        T = self._num_frames
        wav = np.concatenate(self._wavs[:T]) if self._wavs else None
        return Reply(torch.tensor(self._text[:T]), torch.stack(self._codes[:T], dim=1), wav, self.words)


def talk(
    conversations: Conversations,
    users: Sequence[Recording],
    *,
    settings: Sequence[TalkSettings] | TalkSettings | None = None,
    hooks: Hooks | None = None,
    on_done: Callable[[int], None] | None = None,
) -> list[Reply]:
    """Talk with recorded users, as many at a time as there are rows.

    Args:
        conversations: with free rows; without a codec, users must be codes, and nothing sounds.
        users: samples [S] at the codec's rate, or codes, int64 [user codebooks, T].
        settings: of each conversation, or of all.
        hooks: functions with a say in all of them.
        on_done: is told the number of a user when the conversation has ended.
    """
    each = list(settings) if isinstance(settings, Sequence) else [settings] * len(users)
    talkers: list[Talker] = []

    def all_talkers() -> Iterator[Talker]:
        for user, own in zip(users, each, strict=True):
            heard = frames(user, 0 if isinstance(user, Tensor) else conversations.frame_size)
            talkers.append(Talker(heard, conversations, settings=own, hooks=hooks))
            yield talkers[-1]

    run(conversations, all_talkers(), on_done)
    return [talker.reply() for talker in talkers]
