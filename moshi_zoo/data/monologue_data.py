"""Conversations in text alone, as they are in Moshi's row of text when Moshi writes down what it hears.

What is to be known about answers is learnt from such rows many times faster than from speech: nothing is to be heard
and nothing to be said, and there is a word in every second frame instead of every eighth.
"""

import hashlib
import random
from collections.abc import Sequence
from typing import ClassVar

from moshi_zoo.data.chat import Chat, Message
from moshi_zoo.data.text_data import TextData
from moshi_zoo.data.text_documents import DocumentKind, Encoded
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.word_tokens import WordTokens

_BETWEEN_WORDS = (0, 0, 0, 0, 1, 2)  # frames of PAD; speech has about two
_BETWEEN_TURNS = (1, 5)  # fewest and most; the longer silences of speech teach nothing that these do not


class Monologue(Chat):
    """Documents that are conversations, the assistant's words as Moshi's own and the user's as heard.

    Each of the user's words comes behind the tokenizer's mark (:attr:`Tokenizer.heard`), Moshi's behind EPAD where PAD
    is before them. How much PAD there is between them is drawn, always the same for the same conversation. Only Moshi's
    words are to be learnt: what the user says next is anybody's guess, and when to speak a matter of sound.
    """

    name, version = "monologue", 2

    def encode(
        self, documents: Sequence[list[Message]], tokenizer: Tokenizer, *, num_threads: int = 1
    ) -> list[Encoded]:
        """Tokens of conversations.

        Raises:
            ValueError: if the tokenizer has no mark.
        """
        if tokenizer.heard is None:
            raise ValueError("this tokenizer has no spare control token to announce what is heard: train one of ours")
        words = WordTokens(tokenizer)
        return [_encoded(messages, words, tokenizer.heard) for messages in documents]


class MonologueData(TextData):
    """:class:`TextData` of conversations in the form of :class:`Monologue`."""

    kind: ClassVar[DocumentKind] = Monologue()


def _encoded(messages: Sequence[Message], words: WordTokens, heard: int) -> Encoded:
    tokenizer = words.tokenizer
    digest = hashlib.blake2b("\n".join(message.content for message in messages).encode(), digest_size=8).digest()
    rng = random.Random(int.from_bytes(digest))
    tokens, counted = [tokenizer.control[0]], [False]  # in speech, a conversation begins with nothing before it
    for message in messages:
        tokens += [tokenizer.pad] * rng.randint(*_BETWEEN_TURNS)
        for word in message.content.split():
            is_own = message.role == "assistant"
            if is_own and tokens[-1] == tokenizer.pad:
                tokens[-1] = tokenizer.epad
            counted += [False] * (len(tokens) - len(counted))
            tokens += words(word) if is_own else (heard, *words(word))
            counted += [is_own] * (len(tokens) - len(counted))
            tokens += [tokenizer.pad] * rng.choice(_BETWEEN_WORDS)
    tokens += [tokenizer.pad] * rng.randint(*_BETWEEN_TURNS)
    return Encoded(tokens, counted + [False] * (len(tokens) - len(counted)))
