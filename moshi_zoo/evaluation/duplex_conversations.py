"""Conversations of a Moshi with the users of held-out dialogues, streamed frame by frame."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from moshi_zoo.data.alignments import MAIN, Word
from moshi_zoo.data.dialogue_windows import Place
from moshi_zoo.data.text_row import TextRowBuilder, TimedTokens, WordTokens
from moshi_zoo.evaluation.answers import SpokenWord
from moshi_zoo.evaluation.script import TimedTurn, timed_turns
from moshi_zoo.models.conversation import Choosers
from moshi_zoo.models.moshi import Moshi
from moshi_zoo.models.replies import replies
from moshi_zoo.modules.code_embedding import NOTHING
from moshi_zoo.runtime.settings import TalkSettings
from moshi_zoo.tokenizer import Tokenizer

_LEAST_TONE = 4  # frames: less room tone than this at the end of a dialogue, and its very last frames are repeated


@dataclass(frozen=True)
class Conversation:
    """What was said to a user of a dialogue, beside what was to be said.

    Args:
        name: of the dialogue.
        family: what it is about.
        voice: Moshi's, in the dialogue; None: unknown.
        turns: as written; none where that is not known.
        words: that the dialogue holds, of both; none where they are not known.
        user_codes: int64 [K, T].
        expected_text: Moshi's inner monologue in the dialogue, int64 [T']; it is shorter by the room tone added.
        expected_codes: of Moshi's voice in the dialogue, int64 [K, T'].
        text: tokens that Moshi wrote, int64 [T].
        codes: of what it said, int64 [K, T].
        said: its inner monologue in words, in order.
        frame_rate: frames a second.
    """

    name: str
    family: str
    voice: str | None
    turns: list[TimedTurn]
    words: list[Word]
    user_codes: Tensor
    expected_text: Tensor
    expected_codes: Tensor
    text: Tensor
    codes: Tensor
    said: list[SpokenWord]
    frame_rate: float

    @property
    def seconds(self) -> float:
        """With the room tone at the end."""
        return self.text.shape[0] / self.frame_rate

    @property
    def expected_words(self) -> list[SpokenWord]:
        """Moshi's words in the dialogue."""
        return [SpokenWord(word.text, word.start_s, word.end_s) for word in self.words if word.speaker == MAIN]

    @property
    def user_words(self) -> list[Word]:
        """The user's."""
        return [word for word in self.words if word.speaker != MAIN]


def no_text(logits: Tensor, chance: Tensor) -> Tensor:
    """What models without an inner monologue write: nothing, in each of the rows of logits [B, V]."""
    return torch.full_like(chance, NOTHING, dtype=torch.int64)


class TextChoice:
    """Draws text tokens that belong into a conversation: no marks of other modes, and none the tokenizer lacks.

    Args:
        settings: how.
        tokenizer: of the text.
        pad: PAD.
    """

    def __init__(self, settings: TalkSettings, tokenizer: Tokenizer, *, pad: int):
        self.sampler, self.bonus, self.pad = settings.text, settings.padding_bonus, pad
        self.marks, self.vocab_size = [i for i in (tokenizer.bos, tokenizer.eos) if i != pad], tokenizer.vocab_size

    def __call__(self, logits: Tensor, chance: Tensor) -> Tensor:
        """Logits [B, V] and uniform numbers [B] -> tokens [B]."""
        logits = logits.clone()
        logits[:, self.pad] += self.bonus
        logits[:, self.marks] = -torch.inf
        logits[:, self.vocab_size :] = -torch.inf
        return self.sampler(logits, chance)


@torch.inference_mode()
def converse(
    moshi: Moshi,
    tokenizer: Tokenizer,
    places: Sequence[Place],
    settings: TalkSettings,
    *,
    extra_s: float,
    batch_size: int,
    monologue: bool = True,
) -> Iterator[Conversation]:
    """Let Moshi talk to the users of dialogues, many at a time, those of about the same length together.

    Args:
        moshi: the model.
        tokenizer: its own.
        places: dialogues with both speakers.
        settings: how; chance is each dialogue's own.
        extra_s: room tone after each dialogue.
        batch_size: conversations at once.
        monologue: whether Moshi writes.
    """
    device = moshi.initial_text.device
    write = TextChoice(settings, tokenizer, pad=moshi.pad_token) if monologue else no_text
    choosers = Choosers(write, settings.audio)
    order = sorted(range(len(places)), key=lambda i: (places[i].num_frames, i))
    for batch in (order[i : i + batch_size] for i in range(0, len(order), batch_size)):
        chosen = [places[i] for i in batch]
        users = _users(chosen, moshi, extra_s)
        seeds = [_seed(place, settings.seed) for place in chosen]
        said = replies(moshi, users.to(device), choosers=choosers, seeds=seeds)
        text, codes = said.text.cpu(), said.codes.cpu()
        for i, place in enumerate(chosen):
            length = place.num_frames + _extra_frames(place, extra_s)
            yield _conversation(place, moshi, tokenizer, users[i, :, :length], text[i, :length], codes[i, :, :length])


def name_of(place: Place) -> str:
    """Store and dialogue."""
    return f"{place.store.folder.name}/{place.store.entries[place.number].path}"


def _users(places: Sequence[Place], moshi: Moshi, extra_s: float) -> Tensor:
    """The users' codes [B, K, T], each with its room tone behind it."""
    T = max(place.num_frames + _extra_frames(place, extra_s) for place in places)
    K = moshi.num_user_codebooks
    users = [
        torch.cat([place.store.codes(place.number)[1], room_tone(place, T - place.num_frames)], dim=1)[:K]
        for place in places
    ]
    return torch.stack(users)


def room_tone(place: Place, num_frames: int) -> Tensor:
    """More of what is heard of the user's channel when nobody speaks any more, codes [K, num_frames].

    The end of the dialogue is repeated, from its last word on.
    """
    frame_rate, T = place.store.codec.frame_rate, place.num_frames
    words = place.store.words(place.number) or []
    spoken = max((math.ceil(word.end_s * frame_rate) + 1 for word in words), default=0)
    tone = place.store.codes(place.number, max(min(spoken, T - _LEAST_TONE), 0))[-1]
    return tone.repeat(1, math.ceil(num_frames / tone.shape[1]))[:, :num_frames]


def _extra_frames(place: Place, extra_s: float) -> int:
    return round(extra_s * place.store.codec.frame_rate)


def _seed(place: Place, seed: int) -> int:
    key = f"{seed}/{place.store.entries[place.number].path}"
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=6).digest(), "big")


def _conversation(
    place: Place, moshi: Moshi, tokenizer: Tokenizer, user: Tensor, text: Tensor, codes: Tensor
) -> Conversation:
    store, number = place.store, place.number
    about, words, frame_rate = store.about(number), store.words(number) or [], store.codec.frame_rate
    tokens = WordTokens(tokenizer)
    timed = [TimedTokens(word.start_s, word.end_s, tokens(word.text)) for word in words if word.speaker == MAIN]
    row = TextRowBuilder(frame_rate=frame_rate, pad=moshi.pad_token, epad=moshi.epad_token).build(
        timed, place.num_frames
    )
    return Conversation(
        name=name_of(place),
        family=about.get("family", "dialogues"),
        voice=about.get("voices", {}).get("moshi"),
        turns=timed_turns(about),
        words=words,
        user_codes=user,
        expected_text=torch.from_numpy(row.tokens),
        expected_codes=store.codes(number)[0, : moshi.num_own_codebooks],
        text=text,
        codes=codes,
        said=[SpokenWord(word.strip(), frame / frame_rate) for frame, word in tokenizer.words(text.tolist())],
        frame_rate=frame_rate,
    )
