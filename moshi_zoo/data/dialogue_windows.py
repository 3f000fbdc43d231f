"""Windows of coded dialogues with their row of text: what Moshi learns from.

The codes are cached, the text is not: each epoch lays it out anew, with its own draw of how far text and speech are
apart. What is random about an item is a pure function of seed, epoch and index.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from moshi_zoo.data.alignments import MAIN, Word
from moshi_zoo.data.code_store import CodeStore
from moshi_zoo.data.dialogue_masks import Masks
from moshi_zoo.data.dialogue_modes import Mode, ModeName, mark
from moshi_zoo.data.heard_words import HeardWords
from moshi_zoo.data.text_row import NOTHING, TextRow, TextRowBuilder, TimedTokens
from moshi_zoo.word_tokens import WordTokens

_LEAST_TONE = 4  # frames: less room tone than this at the end of a dialogue, and its very last frames are repeated

TextOf = Literal["moshi", "user", "both", "moshi_and_heard"]
"""Whose words the text row has. ``moshi_and_heard``: Moshi's, and between them the user's as Moshi hears them, a moment
after they are said, each announced by a mark; see :class:`HeardWords`."""


@dataclass(frozen=True)
class Place:
    """A dialogue of one of several stores."""

    store: CodeStore
    number: int

    @property
    def num_frames(self) -> int:
        """Of the dialogue."""
        return self.store.entries[self.number].num_frames

    def room_tone(self, num_frames: int) -> Tensor:
        """More of what is heard when nobody speaks any more, codes [C, K, num_frames].

        The end of the dialogue is repeated, from its last word on.
        """
        frame_rate, T = self.store.codec.frame_rate, self.num_frames
        words = self.store.words(self.number) or []
        spoken = max((math.ceil(word.end_s * frame_rate) + 1 for word in words), default=0)
        tone = self.store.codes(self.number, max(min(spoken, T - _LEAST_TONE), 0))
        return tone.repeat(1, 1, math.ceil(num_frames / tone.shape[-1]))[..., :num_frames]


@dataclass(frozen=True)
class DialogueWindow:
    """One item.

    Args:
        codes: int64 [R, T]: text, Moshi's codes, the user's; -1 where there is nothing.
        index: Of the item.
        text_delay_s: How much earlier than the speech its text is.
        heard: int64 [T]: what the user says, as a row of text; None: nobody has asked for it.
    """

    codes: Tensor
    index: int
    text_delay_s: float
    heard: Tensor | None = None


class Rows:
    """Lays dialogues out in rows.

    Args:
        text: Makes the row of text.
        tokens: Tokens of a word.
        num_own_codebooks: Rows of Moshi's codes; stores may hold more.
        num_user_codebooks: Rows of the user's.
        text_of: Whose words become text.
        heard_delay_s: How much later than they are said the user's words are in :meth:`heard`, and in the text if it
            has them; None: nowhere.
        room_tone: Whether a conversation that ends within a window goes on in silence.
    """

    def __init__(
        self,
        text: TextRowBuilder,
        tokens: WordTokens,
        *,
        num_own_codebooks: int,
        num_user_codebooks: int,
        text_of: TextOf = "moshi",
        heard_delay_s: float | None = None,
        room_tone: bool = False,
    ):
        self.text, self.tokens, self.text_of, self.heard_delay_s = text, tokens, text_of, heard_delay_s
        self.room_tone = room_tone
        self.num_codebooks = (num_own_codebooks, num_user_codebooks)
        self._heard_words: HeardWords | None = None
        if text_of == "moshi_and_heard":
            if heard_delay_s is None:
                raise ValueError(f"text_of is {text_of}, but heard_delay_s is not given: set it, such as to 0.5")
            self._heard_words = HeardWords(tokens, frame_rate=text.frame_rate, delay_s=heard_delay_s)

    def window(
        self, place: Place, start: int, num_frames: int, *, text_delay_s: float = 0.0, mode: ModeName = "duplex"
    ) -> Tensor:
        """Rows [R, T] of a dialogue from frame ``start`` on; -1 behind its end, and where nobody is heard.

        A recording with one channel is Moshi, but ``asr`` hears the user in it.
        """
        codes = place.store.codes(place.number, start, start + num_frames)  # [C, K, T]
        missing = num_frames - codes.shape[-1]
        if self.room_tone and mode == "duplex" and missing:
            codes = torch.cat([codes, place.room_tone(missing)], dim=-1)
        length = codes.shape[-1]
        window = torch.full((1 + sum(self.num_codebooks), num_frames), NOTHING)
        text, own, user = self.split(window)
        if mode != "asr":
            own[:, :length] = codes[0, : len(own)]
        if mode == "asr" or (mode == "duplex" and len(codes) > 1):
            user[:, :length] = codes[-1, : len(user)]
        row = self.text_row(place, text_delay_s=text_delay_s, mode=mode)
        if row is not None:
            said = torch.from_numpy(row.tokens[start : start + length])
            text[:length] = self.text.pad
            text[: len(said)] = said
        first = mark(mode, self.tokens.tokenizer)
        if first is not None:
            text[0] = first
        return window

    def heard(self, place: Place, start: int, num_frames: int, mode: ModeName) -> Tensor | None:
        """What the user says in the rows of :meth:`window`, int64 [T]; -1 where that is not known, or not heard."""
        if self.heard_delay_s is None:
            return None
        heard = torch.full((num_frames,), NOTHING)
        row = self.text_row(place, text_delay_s=-self.heard_delay_s, mode="asr") if mode != "tts" else None
        if row is not None:
            known = torch.from_numpy(row.tokens[start : start + num_frames])
            heard[: len(known)] = known
        return heard

    def split(self, window: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Views of the rows of a window: text [T], Moshi's codes and the user's [K, T]."""
        text, own, user = window.split([1, *self.num_codebooks])
        return text[0], own, user

    def text_row(self, place: Place, *, text_delay_s: float = 0.0, mode: ModeName = "duplex") -> TextRow | None:
        """The text of a whole dialogue; None: its words are not known."""
        words = place.store.words(place.number)
        if words is None:
            return None
        text_of = self._text_of(mode, place.store.entries[place.number].channels)
        row = self.text.build(self._timed(words, text_of), place.num_frames, text_delay_s=text_delay_s)
        if text_of == "moshi_and_heard" and self._heard_words is not None:
            self._heard_words.write(row.tokens, [word for word in words if _is_meant(word, "user")])
        return row

    def _timed(self, words: Sequence[Word], text_of: TextOf) -> list[TimedTokens]:
        return [TimedTokens(w.start_s, w.end_s, self.tokens(w.text)) for w in words if _is_meant(w, text_of)]

    def _text_of(self, mode: ModeName, channels: int) -> TextOf:
        if mode == "duplex":
            return self.text_of
        if channels == 1:
            return "both"
        return "user" if mode == "asr" else "moshi"


def _is_meant(word: Word, text_of: TextOf) -> bool:
    return text_of == "both" or (word.speaker == MAIN) == (text_of != "user")


class RandomDialogueWindows(Dataset[DialogueWindow]):
    """Random windows in proportion to duration, of several sources in shares.

    Dialogues shorter than a window count as one. The dialogue of item i of an epoch is drawn from the i-th of
    ``len(self)`` equal stretches of them all, so that every epoch goes through everything about once; with shares, a
    source comes round more or less often.

    Args:
        sources: Dialogues of each source.
        weights: Its share. None: as much as it has.
        rows: Lays them out.
        num_frames: T.
        num_items: Items of an epoch.
        modes: What windows show, by their weights, each with the range that the delay of the text is drawn from.
        masks: What is taken away from them.
        from_start: Share of the windows that begin with the dialogue; the others lie anywhere.
        seed: Of all draws.
    """

    def __init__(
        self,
        sources: Sequence[Sequence[Place]],
        *,
        weights: Sequence[float] | None,
        rows: Rows,
        num_frames: int,
        num_items: int,
        modes: Sequence[Mode] = (Mode(),),
        masks: Masks | None = None,
        from_start: float = 0.0,
        seed: int,
    ):
        self.places = [place for places in sources for place in places]
        self.rows, self.num_frames, self.num_items = rows, num_frames, num_items
        self.modes, self.masks, self.from_start, self.seed = modes, masks or Masks(), from_start, seed
        self._mode_ends = np.cumsum([mode.weight for mode in modes])
        lengths = [np.array([max(place.num_frames, num_frames) for place in places], np.float64) for places in sources]
        shares = [frames.sum() for frames in lengths] if weights is None else weights
        scaled = [frames / frames.sum() * share for frames, share in zip(lengths, shares, strict=True)]
        self._ends = np.cumsum(np.concatenate(scaled))

    def __len__(self) -> int:
        return self.num_items

    def __getitem__(self, key: tuple[int, int]) -> DialogueWindow:
        """The window of an epoch and an item of it."""
        epoch, item = key
        rng = np.random.default_rng((self.seed, epoch, item))
        where = (item + rng.random()) / self.num_items * self._ends[-1]
        place = self.places[min(int(np.searchsorted(self._ends, where, side="right")), len(self.places) - 1)]
        start = int(rng.integers(max(place.num_frames - self.num_frames, 0) + 1))
        mode = self.modes[int(np.searchsorted(self._mode_ends, rng.random() * self._mode_ends[-1], side="right"))]
        delay = float(rng.uniform(*mode.text_delay_s))
        if rng.random() < self.from_start:
            start = 0
        window = self.rows.window(place, start, self.num_frames, text_delay_s=delay, mode=mode.name)
        text, _, user = self.rows.split(window)
        self.masks.apply(text, user, rng)
        return DialogueWindow(window, item, delay, self.rows.heard(place, start, self.num_frames, mode.name))


class FixedDialogueWindows(Dataset[DialogueWindow]):
    """The same windows every time: dialogues from their beginning, spread over all of them.

    Args:
        places: The dialogues.
        rows: Lays them out.
        num_frames: T.
        num_items: The most windows.
        mode: What all of them show; the delay of the text is the middle of its range.
    """

    def __init__(self, places: Sequence[Place], *, rows: Rows, num_frames: int, num_items: int, mode: Mode):
        num_items = min(num_items, len(places))
        self.places = [places[i * len(places) // num_items] for i in range(num_items)]
        self.rows, self.num_frames, self.mode = rows, num_frames, mode

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> DialogueWindow:
        delay = sum(self.mode.text_delay_s) / 2
        window = self.rows.window(self.places[index], 0, self.num_frames, text_delay_s=delay, mode=self.mode.name)
        heard = self.rows.heard(self.places[index], 0, self.num_frames, self.mode.name)
        return DialogueWindow(window, index, delay, heard)


def collate(windows: Sequence[DialogueWindow]) -> dict[str, Tensor]:
    """A batch ``{codes [B, R, T] int64, index [B], text_delay_s [B]}``, and ``heard`` [B, T] where it is asked for."""
    heard = [window.heard for window in windows if window.heard is not None]
    return {
        "codes": torch.stack([window.codes for window in windows]),
        "index": torch.tensor([window.index for window in windows]),
        "text_delay_s": torch.tensor([window.text_delay_s for window in windows]),
        **({"heard": torch.stack(heard)} if heard else {}),
    }
