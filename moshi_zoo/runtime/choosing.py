"""How the rows of a batch choose their tokens, each in its own way: drawn, told, or changed by a hook."""

from collections.abc import Sequence

import torch
from torch import Tensor

from moshi_zoo.models.conversation import Choosers
from moshi_zoo.models.sampling import RowSampler
from moshi_zoo.modules.code_embedding import NOTHING
from moshi_zoo.runtime.settings import Hooks, TalkSettings

FREE = -2
"""In the place of a token that is told: it is drawn."""


class RowChoosing:
    """Chooses the next tokens of B conversations.

    Args:
        batch_size: conversations B.
        vocab_size: text tokens that the model knows V.
        num_codebooks: of Moshi's voice K.
        pad: PAD.
        forbidden: text tokens that are never drawn.
        device: of the model.
    """

    def __init__(
        self,
        batch_size: int,
        *,
        vocab_size: int,
        num_codebooks: int,
        pad: int,
        forbidden: Sequence[int],
        device: torch.device,
    ):
        self._pad, self._forbidden = pad, list(forbidden)
        self._text, self._audio = RowSampler(batch_size, device), RowSampler(batch_size, device)
        self._bias = torch.zeros(batch_size, vocab_size, device=device)
        self._told_text = torch.full((batch_size,), FREE, device=device)
        self._told_codes = torch.full((batch_size, num_codebooks), FREE, device=device)
        self._hooks: dict[int, Hooks] = {}
        self._mute: set[int] = set()
        self._text_told: set[int] = set()
        self._codes_told: set[int] = set()
        self._hooked: list[tuple[int, Hooks]] = []
        self._code = 0
        self._recorded_widths: tuple[int | None, int | None] = None, None

    @property
    def hooked(self) -> bool:
        """Whether any conversation has hooks."""
        return bool(self._hooks)

    @property
    def widths(self) -> tuple[int, int]:
        """How many of the likeliest text tokens and codes are looked at."""
        return self._text.most, self._audio.most

    def set(self, row: int, settings: TalkSettings, hooks: Hooks | None) -> None:
        """Choose in this row so from now on."""
        self._text.set(row, settings.text)
        self._audio.set(row, settings.audio)
        self._bias[row] = 0
        self._bias[row, self._pad] = settings.padding_bonus
        self._bias[row, self._forbidden] = -torch.inf
        self._hooks.pop(row, None)
        if hooks is not None:
            self._hooks[row] = hooks
        self.forget([row])
        (self._mute.add if settings.mode == "asr" else self._mute.discard)(row)
        self._told_codes[row] = NOTHING if row in self._mute else FREE

    def tell(self, row: int, *, text: int | None = None, codes: Tensor | None = None) -> None:
        """Say this in the next step, whatever would be drawn.

        Args:
            row: which conversation.
            text: the token.
            codes: int64 [K]; :data:`FREE` where it is drawn all the same.
        """
        if text is not None:
            self._told_text[row] = text
            self._text_told.add(row)
        if codes is not None:
            self._told_codes[row] = codes
            self._codes_told.add(row)

    def is_mute(self, row: int) -> bool:
        """Whether this row has no voice."""
        return row in self._mute

    def choosers(self, rows: Sequence[int], *, opening: bool = False) -> Choosers:
        """For a step in which these rows take part; of an opening, their hooks know nothing."""
        self._hooked = [] if opening else [(row, self._hooks[row]) for row in rows if row in self._hooks]
        self._code = 0
        revise = self._revise if any(hooks.on_codes for _, hooks in self._hooked) else None
        nobody_speaks = self._mute.issuperset(rows) and not self._codes_told
        return Choosers(self._choose_text, None if nobody_speaks else self._choose_code, revise)

    def recorded(self, widths: tuple[int, int] | None = None) -> Choosers:
        """For a step that is recorded and replayed: whether a token is told shows on the device; without hooks.

        Args:
            widths: no less than :attr:`widths` while it is replayed; None: those of now.
        """
        self._code = 0
        self._recorded_widths = widths or (None, None)
        return Choosers(self._record_text, self._record_code)

    def forget(self, rows: Sequence[int]) -> None:
        """What these rows were told has been said."""
        for row in self._text_told.intersection(rows):
            self._told_text[row] = FREE
        for row in self._codes_told.intersection(rows):
            self._told_codes[row] = NOTHING if row in self._mute else FREE
        self._text_told.difference_update(rows)
        self._codes_told.difference_update(rows)

    def _choose_text(self, logits: Tensor, chance: Tensor) -> Tensor:
        logits = logits.float() + self._bias
        for row, hooks in self._hooked:
            if hooks.on_text_logits:
                logits[row] = hooks.on_text_logits(logits[row])
        text = self._text(logits, chance)
        if self._text_told:
            text = _told_or(self._told_text, text)
        for row, hooks in self._hooked:
            if hooks.on_text:
                text[row] = hooks.on_text(int(text[row]))
        return text

    def _choose_code(self, logits: Tensor, chance: Tensor) -> Tensor:
        codes = self._audio(logits, chance)
        if self._codes_told or self._mute:
            codes = _told_or(self._told_codes[:, self._code], codes)
        self._code += 1
        return codes

    def _record_text(self, logits: Tensor, chance: Tensor) -> Tensor:
        return _told_or(self._told_text, self._text(logits.float() + self._bias, chance, self._recorded_widths[0]))

    def _record_code(self, logits: Tensor, chance: Tensor) -> Tensor:
        told = self._told_codes[:, self._code]
        self._code += 1
        return _told_or(told, self._audio(logits, chance, self._recorded_widths[1]))

    def _revise(self, codes: Tensor) -> Tensor:
        for row, hooks in self._hooked:
            if hooks.on_codes:
                codes[row] = hooks.on_codes(codes[row])
        return codes


def _told_or(told: Tensor, drawn: Tensor) -> Tensor:
    return torch.where(told == FREE, drawn, told)
