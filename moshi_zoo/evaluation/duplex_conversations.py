"""Conversations of a Moshi with the users of held-out dialogues, streamed frame by frame."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from moshi_zoo.data.alignments import MAIN, Word
from moshi_zoo.data.dialogue_windows import Place
from moshi_zoo.data.text_row import TextRowBuilder, TimedTokens
from moshi_zoo.evaluation.answers import SpokenWord
from moshi_zoo.evaluation.script import TimedTurn, timed_turns
from moshi_zoo.models.moshi import Moshi
from moshi_zoo.modules.code_embedding import NOTHING
from moshi_zoo.runtime.conversations import Conversations
from moshi_zoo.runtime.settings import Hooks, TalkSettings
from moshi_zoo.runtime.talk import Reply, talk
from moshi_zoo.runtime.words import SpokenWord as WrittenWord
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.word_tokens import WordTokens


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
        said: its own words in its inner monologue, in order.
        heard: the user's words in it, which some models write down.
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
    heard: list[WrittenWord]
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
        monologue: whether Moshi writes; models that have learnt without text must not.
    """
    rows = Conversations(moshi, None, tokenizer, max_sessions=max(min(batch_size, len(places)), 1))
    hooks = None if monologue else Hooks(on_text=lambda token: NOTHING)
    order = sorted(range(len(places)), key=lambda i: (places[i].num_frames, i))
    for batch in (order[i : i + batch_size] for i in range(0, len(order), batch_size)):
        chosen = [places[i] for i in batch]
        users = [_user(place, moshi.num_user_codebooks, extra_s) for place in chosen]
        each = [replace(settings, seed=_seed(place, settings.seed)) for place in chosen]
        replies = talk(rows, users, settings=each, hooks=hooks)
        for place, user, reply in zip(chosen, users, replies, strict=True):
            yield _conversation(place, rows, user, reply)


def name_of(place: Place) -> str:
    """Store and dialogue."""
    return f"{place.store.folder.name}/{place.store.entries[place.number].path}"


def _user(place: Place, num_codebooks: int, extra_s: float) -> Tensor:
    """The user's codes [K, T], with room tone behind them."""
    user = torch.cat([place.store.codes(place.number)[1], place.room_tone(_extra_frames(place, extra_s))[1]], dim=1)
    return user[:num_codebooks]


def _extra_frames(place: Place, extra_s: float) -> int:
    return round(extra_s * place.store.codec.frame_rate)


def _seed(place: Place, seed: int) -> int:
    key = f"{seed}/{place.store.entries[place.number].path}"
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=6).digest(), "big")


def _conversation(place: Place, rows: Conversations, user: Tensor, reply: Reply) -> Conversation:
    store, number, moshi = place.store, place.number, rows.moshi
    about, words, frame_rate = store.about(number), store.words(number) or [], store.codec.frame_rate
    tokens = WordTokens(rows.tokenizer)
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
        text=reply.text.cpu(),
        codes=reply.codes.cpu(),
        said=[SpokenWord(word.text, word.frame / frame_rate) for word in reply.words if word.speaker == "moshi"],
        heard=[word for word in reply.words if word.speaker == "user"],
        frame_rate=frame_rate,
    )
