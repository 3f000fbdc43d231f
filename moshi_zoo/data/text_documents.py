"""What a document is, from file or dialogue to tokens. Plain text here; conversations in :mod:`moshi_zoo.data.chat`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from moshi_zoo.data.dialogue import Dialogue
from moshi_zoo.data.text_files import LineReport, is_jsonl, read_objects, read_plain
from moshi_zoo.tokenizer import Tokenizer


@dataclass(frozen=True)
class Encoded:
    """A document in tokens.

    Args:
        tokens: Ids, from bos to eos.
        counted: Which of them a model shall learn to predict; None: all but the first.
    """

    tokens: list[int]
    counted: list[bool] | None = None


D = TypeVar("D")


class DocumentKind(Protocol[D]):
    """A kind of document.

    Args:
        name: Part of the name of what is kept in the cache.
        version: Changes with anything that changes a token.
    """

    name: str
    version: int

    def read(self, path: Path, report: LineReport) -> Iterator[D]:
        """The documents of a file."""
        ...

    def from_dialogue(self, dialogue: Dialogue) -> D:
        """The document of an embedded dialogue."""
        ...

    def text(self, document: D) -> str:
        """What is written in it: for tokenizers to learn from, and to know a document by."""
        ...

    def encode(self, documents: Sequence[D], tokenizer: Tokenizer, *, num_threads: int = 1) -> list[Encoded]:
        """Tokens of documents."""
        ...


class PlainText:
    """Documents of text: ``bos``, the text, ``eos``.

    A ``.jsonl`` file has them in its field ``text``, or as a conversation in ``turns``: texts, or objects with a
    ``text`` each, which become lines.
    """

    name, version = "text", 2

    def read(self, path: Path, report: LineReport) -> Iterator[str]:
        """The texts of a file."""
        if not is_jsonl(path):
            yield from read_plain(path, report)
            return
        for number, value in read_objects(path, report):
            text = value["text"] if "text" in value else _script(value.get("turns"))
            if not isinstance(text, str):
                there = ", ".join(map(repr, value)) or "nothing"
                report.bad(path, number, f"has no text in the field 'text' and no 'turns' of it; there is {there}")
            elif not text.strip():
                report.bad(path, number, "its text is empty")
            else:
                report.good()
                yield text

    def from_dialogue(self, dialogue: Dialogue) -> str:
        """Its script."""
        return dialogue.text

    def text(self, document: str) -> str:
        """The document itself."""
        return document

    def encode(self, documents: Sequence[str], tokenizer: Tokenizer, *, num_threads: int = 1) -> list[Encoded]:
        """Tokens of texts."""
        encoded = tokenizer.encode_all(documents, num_threads=num_threads)
        return [Encoded([tokenizer.bos, *tokens, tokenizer.eos]) for tokens in encoded]


def _script(turns: Any) -> str | None:
    """The lines of a conversation; None if it is none."""
    if not isinstance(turns, list):
        return None
    lines = [turn.get("text") if isinstance(turn, dict) else turn for turn in turns]
    texts = [line for line in lines if isinstance(line, str)]
    return "\n".join(texts) if len(texts) == len(lines) else None
