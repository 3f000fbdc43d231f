"""Conversations as rows of one batch, in tokens: what a :class:`Moshi` needs to hold many at once, each with its clock.

A conversation begins with an opening frame in which nothing has been heard: Moshi is given nothing, and its text is the
mark of the mode, or PAD. A step takes the user's codes as those of the frame before its own (as in Kyutai's server), so
that what it is given in the very first is never heard. There, the user's first frame is lost for that; here the opening
takes its place. It is made together with the first step, so that no time passes.

Step i, from 0 on, then hears frame i of the user, says text token i + 1, and completes frame i + 1 - d of Moshi's
voice, with d the longest of its delays.
"""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from moshi_zoo.models.moshi import Moshi
from moshi_zoo.modules.code_embedding import NOTHING
from moshi_zoo.modules.streaming import State
from moshi_zoo.runtime.choosing import FREE, RowChoosing
from moshi_zoo.runtime.compiled import Compiled, Tell
from moshi_zoo.runtime.settings import Hooks, TalkSettings, opening_token
from moshi_zoo.tokenizer import Tokenizer

__all__ = ["FREE", "Rows", "admit", "chosen"]

_COMPILED_WIDTH = 256
"""Of the likeliest tokens and codes, those that a compiled step looks at: as many as the usual settings need. While any
conversation wants more, steps are not the compiled ones."""


class Rows:
    """B conversations, of which any can take part in a step; the others stand still.

    Args:
        moshi: the model.
        tokenizer: its text's.
        batch_size: conversations B.
        compiling: compile the steps, and tell so; None: they are not compiled.

    Attributes:
        device: of the model.
    """

    def __init__(self, moshi: Moshi, tokenizer: Tokenizer, batch_size: int, *, compiling: Tell | None = None):
        if tokenizer.vocab_size > moshi.temporal.vocab_size:
            raise ValueError(
                f"the tokenizer has {tokenizer.vocab_size} ids, but the model only {moshi.temporal.vocab_size}: this "
                "is not the tokenizer that it was trained with"
            )
        self.moshi, self.tokenizer, self.batch_size = moshi, tokenizer, batch_size
        self.device = moshi.initial_text.device
        self.delay = max(moshi.delays.rows[1 : 1 + moshi.num_own_codebooks])
        with torch.inference_mode():
            self._state = moshi.init_state(batch_size)
            self._active = torch.zeros(batch_size, dtype=torch.bool, device=self.device)
        self._state.set_active(self._active)
        self._choosing = RowChoosing(
            batch_size,
            vocab_size=moshi.temporal.vocab_size,
            num_codebooks=moshi.num_own_codebooks,
            pad=moshi.pad_token,
            forbidden=_forbidden(moshi, tokenizer),
            device=self.device,
        )
        self._openings = [moshi.pad_token] * batch_size
        self._num_frames = [0] * batch_size
        self._deaf = torch.zeros(batch_size, 1, 1, dtype=torch.bool, device=self.device)
        self._compiled = Compiled(self._compilable, "Moshi's step", compiling) if compiling else None

    @torch.inference_mode()
    def begin(self, row: int, settings: TalkSettings, hooks: Hooks | None = None) -> None:
        """Start a new conversation in a row, whatever was there."""
        self._state.reset(chosen([row], self.batch_size).to(self.device))
        self._state.seed[row] = settings.seed
        self._choosing.set(row, settings, hooks)
        self._openings[row] = opening_token(settings.mode, self.tokenizer, pad=self.moshi.pad_token)
        self._num_frames[row] = 0
        self._deaf[row] = settings.mode == "tts"

    @torch.inference_mode()
    def tell(self, row: int, *, text: int | None = None, codes: Tensor | None = None) -> None:
        """Force what a conversation says in its next step.

        Args:
            row: which conversation.
            text: the text token.
            codes: int64 [own codebooks]; :data:`FREE` where it is drawn. Those with a delay are of an earlier frame.
        """
        self.open([row])  # which is not the next step
        self._choosing.tell(row, text=text, codes=codes)

    @torch.inference_mode()
    def step(self, user_codes: Tensor, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """80 ms of some conversations.

        Args:
            user_codes: what their users said, int64 [B, user codebooks, 1]; -1 where nobody is heard. Those of the
                other rows do not matter.
            rows: which.

        Returns:
            Their text tokens, int64 [B], and the newest frames of Moshi's voice that are complete, int64 [B, own
            codebooks, 1]; see :meth:`will_speak`. Those of other rows mean nothing.
        """
        self.open(rows)
        return self._step(user_codes, rows)

    @property
    def hooked(self) -> bool:
        """Whether any conversation has hooks."""
        return self._choosing.hooked

    @property
    def widths(self) -> tuple[int, int]:
        """How many of the likeliest text tokens and codes are looked at: shapes in a step."""
        return self._choosing.widths

    def open(self, rows: Sequence[int]) -> None:
        """Make the opening frames of those conversations that have none yet."""
        fresh = [row for row in rows if not self._num_frames[row]]
        if not fresh:
            return
        for row in fresh:
            self._choosing.tell(row, text=self._openings[row])
        shape = self.batch_size, self.moshi.num_user_codebooks, 1
        self._step(torch.full(shape, NOTHING, device=self.device), fresh, opening=True)

    def admit(self, rows: Sequence[int]) -> None:
        """Let these rows move on in the next step, and no others."""
        admit(rows, self._state, self._active, always_masked=self._compiled is not None)

    def recorded(self, user_codes: Tensor, widths: tuple[int, int] | None = None) -> tuple[Tensor, Tensor]:
        """As :meth:`step` of the rows that are admitted, in work of the device alone.

        Args:
            user_codes: as there.
            widths: at least :attr:`widths`, as long as it is replayed; None: those of now.
        """
        heard = user_codes.masked_fill(self._deaf, NOTHING)
        return self.moshi.advance(heard, self._state, self._choosing.recorded(widths))

    def advance(self, rows: Sequence[int]) -> None:
        """A step of these rows has been made."""
        self._choosing.forget(rows)
        for row in rows:
            self._num_frames[row] += 1

    def will_speak(self, row: int) -> bool:
        """Whether the next step of a conversation, which has been opened, completes a frame of Moshi's voice."""
        return self._num_frames[row] >= self.delay and not self._choosing.is_mute(row)

    def _step(self, user_codes: Tensor, rows: Sequence[int], *, opening: bool = False) -> tuple[Tensor, Tensor]:
        self.admit(rows)
        if self._compiled is not None and (opening or not self.hooked) and self._is_usual():
            text, codes = self._compiled(user_codes)
        else:
            heard = user_codes.masked_fill(self._deaf, NOTHING)
            choosers = self._choosing.choosers(rows, opening=opening)
            text, codes = self.moshi.advance(heard, self._state, choosers)
        self.advance(rows)
        return text, codes

    def _is_usual(self) -> bool:
        sizes = self.moshi.temporal.vocab_size, self.moshi.codebook_size
        return all(min(width, size) <= _COMPILED_WIDTH for width, size in zip(self.widths, sizes, strict=True))

    def _compilable(self, user_codes: Tensor) -> tuple[Tensor, Tensor]:
        return self.recorded(user_codes, (_COMPILED_WIDTH, _COMPILED_WIDTH))


def chosen(rows: Collection[int], batch_size: int) -> Tensor:
    """Rows as bool [B], on the CPU."""
    return torch.tensor([row in rows for row in range(batch_size)])


def admit(rows: Collection[int], state: State, active: Tensor, *, always_masked: bool = False) -> None:
    """Let these rows of a state move on from now, and no others.

    Args:
        rows: which.
        state: of all rows.
        active: tells the state which, bool [B]. Not needed on a CPU where all rows move on: nothing is then masked.
        always_masked: mask even then, as compiled steps do.
    """
    active.copy_(chosen(rows, len(active)))
    everybody = len(rows) == len(active) and active.is_cpu and not always_masked
    if everybody != (state.active is None):
        state.set_active(None if everybody else active)


def _forbidden(moshi: Moshi, tokenizer: Tokenizer) -> list[int]:
    """Text that is never drawn: the marks of modes, and ids that the net has and the tokenizer has not."""
    marks = {tokenizer.bos, tokenizer.eos} - {moshi.pad_token, moshi.epad_token}
    return [*sorted(marks), *range(tokenizer.vocab_size, moshi.temporal.vocab_size)]
