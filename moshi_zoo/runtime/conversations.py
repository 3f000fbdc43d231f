"""Spoken conversations, many in one batch: 80 ms of each user in, 80 ms of Moshi out.

Each row is a conversation of its own, with its own clock: it is joined and left, reset and paused as the others go on,
and nothing of that shows in them. Its seed and its user alone say what becomes of it.

The first frame of Moshi's voice comes with the first frame that is heard (with an acoustic delay of 1, as all released
models have; see :mod:`moshi_zoo.runtime.rows`). What a user says in a frame can change the voice two frames later: the
160 ms of the paper.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moshi_zoo.models.mimi import Mimi
from moshi_zoo.models.moshi import Moshi
from moshi_zoo.modules.code_embedding import NOTHING
from moshi_zoo.modules.columns import store_by_columns
from moshi_zoo.runtime.compiled import Tell
from moshi_zoo.runtime.recorded import Recorded, Work
from moshi_zoo.runtime.rows import Rows
from moshi_zoo.runtime.settings import Hooks, TalkSettings
from moshi_zoo.runtime.spelling import Spelling
from moshi_zoo.runtime.voices import Voices
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.zoo.sampling import Sampling
from moshi_zoo.zoo.text_layout import TextLayout

__all__ = ["Conversations", "Full", "Heard", "Hooks", "Spoken", "TalkSettings"]

Heard = NDArray[np.float32] | Tensor | None
"""A frame of a user: samples [frame_size], about -1 to 1; or codes, int64 [user codebooks]; None: nobody is there."""

FRAME_RATE = 12.5
"""Of all codecs of the family; of conversations in codes."""

_WARM_UP_STEPS = 4


class Full(ValueError):  # noqa: N818 - a state of the house, not a mistake
    """No row is free for another conversation."""


@dataclass(frozen=True)
class Spoken:
    """What one step (80 ms) of one conversation brought.

    Args:
        text: the text token.
        piece: what to show of it as Moshi's, with its spaces; None: nothing (PAD, EPAD, or half a character).
        codes: a frame of Moshi's voice, int64 [K]; None while its delay lasts, and where Moshi has no voice.
        wav: its sound [frame_size], likewise.
        heard: what to show of it where it is what the user says, which some models write down; then there is no piece.
    """

    text: int
    piece: str | None
    codes: Tensor | None
    wav: NDArray[np.float32] | None
    heard: str | None = None


class Conversations:
    """A batch of conversations.

    Args:
        moshi: the model, in eval mode. On a CPU its weights change places in memory.
        codec: made the codes that it learnt; on the same device. None: users are heard in codes, and nothing sounds.
        tokenizer: of its text.
        max_sessions: rows of the batch B. Each step computes all of them.
        text_layout: how words lie in its text, where that is known.
        sampling: how to draw where the settings of a conversation do not say it; None: as in Kyutai's server.
        compiling: compile the steps, on a CPU, and tell so; None: they are not compiled.

    Raises:
        ValueError: if the three do not belong together.
    """

    def __init__(
        self,
        moshi: Moshi,
        codec: Mimi | None,
        tokenizer: Tokenizer,
        *,
        max_sessions: int = 1,
        text_layout: TextLayout | None = None,
        sampling: Sampling | None = None,
        compiling: Tell | None = None,
    ):
        if max_sessions < 1:
            raise ValueError(f"max_sessions ({max_sessions}) must be 1 or more")
        store_by_columns(moshi)
        self.moshi, self.codec, self.tokenizer, self.max_sessions = moshi, codec, tokenizer, max_sessions
        self.text_layout, self.sampling = text_layout or TextLayout(), sampling or Sampling()
        self._rows = Rows(moshi, tokenizer, max_sessions, compiling=compiling)
        self._voices = None if codec is None else Voices(moshi, codec, max_sessions, compiling=compiling)
        shape = max_sessions, moshi.num_user_codebooks, 1
        with torch.inference_mode():  # as what an encoder makes: a compiled step tells the two kinds apart
            self._given = torch.full(shape, NOTHING, device=self._rows.device)
        self._as_graph = self._rows.device.type == "cuda"
        self._recorded = Recorded(self._work, self._rows.device)
        self._joined: dict[int, tuple[TalkSettings, Hooks | None]] = {}
        self._spellings: dict[int, Spelling] = {}

    @property
    def sample_rate(self) -> int:
        """Of what is heard and said, in Hz."""
        return self._coded.sample_rate

    @property
    def frame_size(self) -> int:
        """Samples of a step."""
        return self._coded.frame_size

    @property
    def frame_rate(self) -> float:
        """Steps a second (12.5)."""
        return self.codec.frame_rate if self.codec else FRAME_RATE

    @property
    def device(self) -> torch.device:
        """Of the model."""
        return self._rows.device

    @property
    def free(self) -> int:
        """Rows for further conversations."""
        return self.max_sessions - len(self._joined)

    def join(self, settings: TalkSettings | None = None, *, hooks: Hooks | None = None) -> int:
        """Begin a conversation.

        Args:
            settings: of it; None: the defaults.
            hooks: functions with a say in it.

        Returns:
            Its row.

        Raises:
            Full: if no row is free.
        """
        row = next((row for row in range(self.max_sessions) if row not in self._joined), None)
        if row is None:
            raise Full(f"all {self.max_sessions} conversations are taken: try again when one has ended")
        self._begin(row, settings or TalkSettings(), hooks)
        return row

    def leave(self, row: int) -> None:
        """End a conversation; its row is free."""
        self._known(row)
        self._begin(row, TalkSettings(), None)  # what was said is not kept
        del self._joined[row]

    def reset(self, row: int, settings: TalkSettings | None = None) -> None:
        """Begin a conversation anew, with other settings if there are any."""
        before, hooks = self._known(row)
        self._begin(row, settings or before, hooks)

    def tell(self, row: int, *, text: int | None = None, codes: Tensor | None = None) -> None:
        """Force what a conversation says in its next step; see :meth:`Rows.tell`."""
        self._known(row)
        self._rows.tell(row, text=text, codes=codes)

    @torch.inference_mode()
    def step(self, heard: Mapping[int, Heard]) -> dict[int, Spoken]:
        """80 ms of some conversations; the others are paused, and go on later as if no time had passed.

        Args:
            heard: row -> what its user said.

        Returns:
            Row -> what Moshi said.

        Raises:
            ValueError: if a row has no conversation, or a frame is none; then no conversation has moved on.
        """
        for row, frame in heard.items():
            self._known(row)
            self._check(row, frame)
        if not heard:
            return {}
        rows = sorted(heard)
        self._rows.open(rows)
        speaking = [row for row in rows if self._rows.will_speak(row)]
        # hooks are Python's, in the middle of a step
        step = self._replay if self._as_graph and not self._rows.hooked else self._compute
        work = step(heard, rows, speaking)
        tokens, wavs = work.text.tolist(), None if work.wav is None else work.wav.float().cpu().numpy()
        spoken = {}
        for row in rows:
            shown, is_heard = self._spellings[row].add(tokens[row]), self._spellings[row].is_heard
            codes = work.codes[row, :, 0].clone() if row in speaking else None
            wav = wavs[row] if wavs is not None and row in speaking else None
            own, heard_words = (None, shown) if is_heard else (shown, None)
            spoken[row] = Spoken(tokens[row], own, codes, wav, heard_words)
        return spoken

    def warm_up(self) -> None:
        """Take the first, slow steps before anybody waits for them; a row must be free.

        Raises:
            CannotCompile: if steps are to be compiled, and cannot.
        """
        silence = None if self.codec is None else np.zeros(self.frame_size, np.float32)
        row = self.join()
        for _ in range(_WARM_UP_STEPS):
            self.step({row: silence})
        self.leave(row)

    @torch.inference_mode()
    def _begin(self, row: int, settings: TalkSettings, hooks: Hooks | None) -> None:
        self._joined[row] = settings, hooks
        self._rows.begin(row, settings.of(self.sampling), hooks)
        if self._voices:
            self._voices.reset(row)
        self._spellings[row] = Spelling(self.tokenizer, silent={self.moshi.pad_token, self.moshi.epad_token})

    def _compute(self, heard: Mapping[int, Heard], rows: list[int], speaking: list[int]) -> Work:
        """A step without what nobody needs."""
        has_sound = self._take_in(heard)
        codes = self._voices.encode(self._given) if self._voices and has_sound else self._given
        text, own = self._rows.step(codes, rows)
        if self._voices is None or not speaking:
            return Work(text, own, None)
        self._voices.admit(speaking)
        return Work(text, own, self._voices.decode(own))

    def _replay(self, heard: Mapping[int, Heard], rows: list[int], speaking: list[int]) -> Work:
        """A step as a CUDA graph."""
        self._admit([], [])
        self._take_in({})
        self._recorded.prepare(self._rows.widths)
        self._take_in(heard)
        self._admit(rows, speaking)
        work = self._recorded()
        self._rows.advance(rows)
        return work

    def _admit(self, rows: list[int], speaking: list[int]) -> None:
        self._rows.admit(rows)
        if self._voices:
            self._voices.admit(speaking)

    def _work(self) -> Work:
        """What is recorded."""
        codes = self._voices.encode(self._given) if self._voices else self._given
        text, own = self._rows.recorded(codes)
        return Work(text, own, self._voices.decode(own) if self._voices else None)

    def _take_in(self, heard: Mapping[int, Heard]) -> bool:
        """Put what is heard where a step looks for it; returns whether sound is among it."""
        self._given.fill_(NOTHING)
        sounds = {row: frame for row, frame in heard.items() if isinstance(frame, np.ndarray)}
        if self._voices:
            self._voices.hear(sounds)
        for row, frame in heard.items():
            if isinstance(frame, Tensor):
                self._given[row, :, 0] = frame
        return bool(sounds)

    @property
    def _coded(self) -> Mimi:
        if self.codec is None:
            raise ValueError("without a codec, users are heard in codes: give one for sound")
        return self.codec

    def _known(self, row: int) -> tuple[TalkSettings, Hooks | None]:
        if row not in self._joined:
            raise ValueError(f"row {row} has no conversation: join() gives one")
        return self._joined[row]

    def _check(self, row: int, frame: Heard) -> None:
        if isinstance(frame, np.ndarray):
            if frame.shape != (self.frame_size,):
                raise ValueError(f"row {row} heard {frame.shape}, not one frame of {self.frame_size} samples")
            if not np.isfinite(frame).all():
                raise ValueError(f"row {row} heard samples that are no numbers")
        elif frame is not None and frame.shape != (self.moshi.num_user_codebooks,):
            raise ValueError(f"row {row} heard {tuple(frame.shape)}, not {self.moshi.num_user_codebooks} codes")
