"""Conversations, and the one template that training and generation share.

    bos  user What is two plus two? eos  assistant Four. eos  user And ... eos

A turn is a token for the role, the content, and ``eos``: what ends a document in pre-training ends an answer here. The
roles are the first three spare control tokens of our tokenizers (0 system, 1 user, 2 assistant), which no content can
spell. A tokenizer without spare control tokens says ``User: `` and so on in plain text, which content can imitate.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

from moshi_zoo.data.dialogue import Dialogue
from moshi_zoo.data.text_documents import Encoded
from moshi_zoo.data.text_files import LineReport, is_jsonl, read_objects
from moshi_zoo.tokenizer import Tokenizer

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


def chat_prompt(messages: Sequence[Message], tokenizer: Tokenizer) -> list[int]:
    """Tokens after which a model answers: the conversation so far, and the beginning of the assistant's turn.

    Generate until ``tokenizer.eos``.
    """
    return [*_encoded(messages, tokenizer).tokens, *_header("assistant", tokenizer)]


def parse_messages(value: Any) -> list[Message]:
    """Messages from ``[{"role": "user", "content": "..."}, ...]``.

    Raises:
        ValueError: if they are not like that, or the assistant says nothing.
    """
    if not isinstance(value, list):
        raise ValueError("its 'messages' is no list")
    messages = [_message(entry) for entry in value]
    if not any(message.role == "assistant" and message.content.strip() for message in messages):
        raise ValueError("the assistant says nothing in it")
    return messages


class Chat:
    """Documents that are conversations; only what the assistant says (and its ``eos``) is to be learned."""

    name, version = "chat", 1

    def read(self, path: Path, report: LineReport) -> Iterator[list[Message]]:
        """The conversations of a ``.jsonl`` file, in its field ``messages``.

        Raises:
            ValueError: if it is another kind of file.
        """
        if not is_jsonl(path):
            raise ValueError(f'{path} holds no conversations: give .jsonl files with {{"messages": [...]}} a line')
        for number, value in read_objects(path, report):
            try:
                messages = parse_messages(value.get("messages"))
            except ValueError as error:
                report.bad(path, number, str(error))
            else:
                report.good()
                yield messages

    def from_dialogue(self, dialogue: Dialogue) -> list[Message]:
        """The user and Moshi, who is the assistant."""
        return [Message("assistant" if turn.speaker == "moshi" else "user", turn.text) for turn in dialogue.turns]

    def text(self, document: Sequence[Message]) -> str:
        """What is said in it."""
        return "\n".join(message.content for message in document)

    def encode(
        self, documents: Sequence[Sequence[Message]], tokenizer: Tokenizer, *, num_threads: int = 1
    ) -> list[Encoded]:
        """Tokens of conversations, with the template."""
        contents = [message.content for document in documents for message in document]
        encoded = iter(tokenizer.encode_all(contents, num_threads=num_threads))
        return [_joined(document, islice(encoded, len(document)), tokenizer) for document in documents]


def _encoded(messages: Sequence[Message], tokenizer: Tokenizer) -> Encoded:
    return Chat().encode([messages], tokenizer)[0]


def _joined(messages: Sequence[Message], contents: Iterator[list[int]], tokenizer: Tokenizer) -> Encoded:
    tokens, counted = [tokenizer.bos], [False]
    for message, content in zip(messages, contents, strict=True):
        header, body = _header(message.role, tokenizer), [*content, tokenizer.eos]
        tokens += header + body
        counted += [False] * len(header) + [message.role == "assistant"] * len(body)
    return Encoded(tokens, counted)


def _header(role: Role, tokenizer: Tokenizer) -> list[int]:
    if len(tokenizer.control) >= len(ROLES):
        return [tokenizer.control[ROLES.index(role)]]
    return tokenizer.encode(f"{role.capitalize()}: ")


def _message(entry: Any) -> Message:
    if not isinstance(entry, dict) or entry.get("role") not in ROLES or not isinstance(entry.get("content"), str):
        raise ValueError(f'a message is {str(entry)[:80]!r}, not {{"role": "{"|".join(ROLES)}", "content": "..."}}')
    return Message(entry["role"], entry["content"])
