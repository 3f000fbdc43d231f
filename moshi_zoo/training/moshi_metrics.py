"""How well Moshi predicts its rows: exact over batches and processes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from moshi_zoo.metrics.heard_tokens import HeardTokens
from moshi_zoo.tokenizer import Tokenizer

_KINDS = ("pad", "epad", "word", "mark", "heard_word")


@dataclass(frozen=True)
class Predictions:
    """What became of each target of a batch; ``nats`` are 0 and ``hits`` False where none counts.

    Args:
        loss: weighted, a number: that batch's share of the whole.
        text: tokens [B, T].
        text_mask: where they count.
        text_nats: negative log-likelihoods.
        text_hits: whether the token is the likeliest.
        audio_mask: [K, N] where codes count.
        audio_nats: [K, N].
        audio_hits: [K, N].
    """

    loss: Tensor
    text: Tensor
    text_mask: Tensor
    text_nats: Tensor
    text_hits: Tensor
    audio_mask: Tensor
    audio_nats: Tensor
    audio_hits: Tensor


class MoshiMetrics:
    """Adds up predictions.

    Args:
        num_generated: rows of codes that the model says K.
        num_own: how many of them are Moshi's.
        pad: token.
        epad: token.
        device: of the batches.
        tokenizer: of the text; None: all words are Moshi's.
    """

    def __init__(
        self,
        *,
        num_generated: int,
        num_own: int,
        pad: int,
        epad: int,
        device: torch.device,
        tokenizer: Tokenizer | None = None,
    ):
        self.pad, self.epad = pad, epad
        self._heard = HeardTokens(tokenizer, device) if tokenizer else None
        speakers = [("", num_own), ("user_", num_generated - num_own)]
        self._rows = [f"{who}{row}" for who, count in speakers for row in range(count)]
        # loss; then nats, hits and targets of the kinds of text and of each row of codes
        self._sums = torch.zeros(1 + 3 * (len(_KINDS) + num_generated), dtype=torch.float64, device=device)

    def add(self, said: Predictions) -> None:
        """Take in a batch, or a part of it."""
        kinds = self._kinds(said.text) & said.text_mask
        sums = [said.loss.detach()[None]]
        sums += [(values * kinds).sum((1, 2)) for values in (said.text_nats, said.text_hits, said.text_mask)]
        sums += [values.sum(1) for values in (said.audio_nats, said.audio_hits, said.audio_mask)]
        self._sums += torch.cat([values.double() for values in sums])

    def finish(self, add_up: Callable[[Tensor], Any], *, batches: int = 1) -> dict[str, float]:
        """Means by name, of what there was; starts anew.

        ``loss``; ``text``, nats a token, and those of ``pad``, ``epad`` and ``word``, which is Moshi's own; ``mark``,
        which announces what the user says, and ``heard_word``; ``semantic`` and ``acoustic``, of Moshi's first code and
        its others; ``accuracy/word``, ``accuracy/0`` and so on; ``user_…`` for the user's codes.

        Args:
            add_up: sums a tensor over processes. Every process calls this.
            batches: how many the loss is the sum of.
        """
        sums = add_up(self._sums)
        self._sums = torch.zeros_like(self._sums)
        of_text, of_audio = sums[1 : 1 + 3 * len(_KINDS)].view(3, -1), sums[1 + 3 * len(_KINDS) :].view(3, -1)
        names = (*_KINDS, *self._rows)
        parts = dict(zip(names, torch.cat([of_text, of_audio], dim=1).T.tolist(), strict=True))  # nats, hits, targets
        groups = {"text": _KINDS, **{name: (name,) for name in _KINDS}}
        for who in ("", "user_"):
            rows = [row for row in self._rows if row.startswith("user_") == bool(who)]
            groups |= {f"{who}semantic": tuple(rows[:1]), f"{who}acoustic": tuple(rows[1:])}
        values = {"loss": float(sums[0]) / batches}
        for name, members in groups.items():
            if count := sum(parts[member][2] for member in members):
                values[name] = sum(parts[member][0] for member in members) / count
        for name in (*_KINDS[1:], *self._rows):
            if parts[name][2]:
                values[f"accuracy/{name}"] = parts[name][1] / parts[name][2]
        return values

    def _kinds(self, text: Tensor) -> Tensor:
        """Tokens [B, T] -> whether they are of each kind, bool [kinds, B, T]."""
        is_pad, is_epad = text == self.pad, text == self.epad
        is_mark = is_heard = torch.zeros_like(is_pad)
        if self._heard is not None:
            is_mark, is_heard = self._heard.are_marks(text), self._heard(text)
        return torch.stack([is_pad, is_epad, ~(is_pad | is_epad | is_mark | is_heard), is_mark, is_heard])
