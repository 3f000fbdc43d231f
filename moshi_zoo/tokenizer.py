"""Text to token ids and back: SentencePiece unigram, every digit by itself, unknown characters as bytes (Moshi, 3.2).

The ids that Moshi needs are fixed: 0 is EPAD (SentencePiece's ``unk``), 1 bos, 2 eos, 3 PAD, then spare control tokens,
which no text can spell and which later stages may give a meaning without resizing an embedding. Differs from the
paper's, whose normaliser nobody knows: by default text is taken as it is, and any text comes back exactly.
"""

import functools
import hashlib
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Self

from sentencepiece import SentencePieceProcessor, SentencePieceTrainer, set_random_generator_seed

FILE = "tokenizer.model"
"""Its name in a zoo folder."""

_SPACE = "\u2581"  # SentencePiece's own spelling of a space: where a text has this character, it is spelled in bytes
_CONTROL = "<|control_{}|>"
_MOST_CONTROL_TOKENS = 64
_HEARD = 1  # of the spare control tokens: the one that is the user's in chats, too
_LINE_CHARACTERS = 2000  # longer lines are cut for training
_THREADS = 4  # part of the result: sums of floats depend on it
_QUIET = 2  # SentencePiece's log level: errors only
_TOO_HIGH = re.compile(r"Vocabulary size too high .* value <= (\d+)")
_TOO_LOW = re.compile(r"Vocabulary size is smaller than required_chars\. \d+ vs (\d+)")


class Tokenizer:
    """A SentencePiece model.

    Ids are read from the file: Helium-1 2B has bos 0 and eos 1.

    Args:
        model_bytes: Content of a ``.model`` file.

    Attributes:
        vocab_size: Number of ids.
        bos: Begins a document.
        eos: Ends a document, and an answer.
        pad: Fills rows; in Moshi's text stream: nothing is said. Without one of its own, a tokenizer pads with eos.
        epad: SentencePiece's ``unk``; in Moshi's text stream: the next word begins.
        control: The spare control tokens; none in files from elsewhere.
        heard: Announces a word of the user's in a monologue that hears; None: there is no spare control token for it.

    Raises:
        ValueError: if these bytes are no such file, or it lacks bos or eos.
    """

    def __init__(self, model_bytes: bytes):
        self.model_bytes = model_bytes
        try:
            self._pieces = SentencePieceProcessor(model_proto=model_bytes)
            self.vocab_size = self._pieces.vocab_size() if model_bytes else 0
        except RuntimeError as error:
            raise ValueError(f"this is not a SentencePiece model: {error}") from error
        if not self.vocab_size:
            raise ValueError("this is not a SentencePiece model: it is empty")
        self.bos, self.eos, self.epad = self._pieces.bos_id(), self._pieces.eos_id(), self._pieces.unk_id()
        if self.bos < 0 or self.eos < 0:
            raise ValueError(f"this tokenizer lacks bos or eos (their ids are {self.bos} and {self.eos})")
        self.pad = self._pieces.pad_id() if self._pieces.pad_id() >= 0 else self.eos
        self.control = tuple(self._control_tokens())
        self.heard = self.control[_HEARD] if len(self.control) > _HEARD else None
        self._silent = {i for i in range(self.vocab_size) if self._pieces.is_control(i)} | {self.epad}
        self._bytes = [self._pieces.piece_to_id(f"<0x{byte:02X}>") for byte in range(256)]
        self._has_bytes = self.epad not in self._bytes

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a ``.model`` file, or the one in a zoo folder or in that of a run.

        Raises:
            ValueError: if there is none, or it cannot be used.
        """
        path = Path(path).expanduser()
        if path.is_dir():
            in_run = path / "zoo" / FILE
            path = in_run if in_run.is_file() else path / FILE
        if not path.is_file():
            raise ValueError(f"there is no tokenizer {path}: give a SentencePiece .model file, or a folder with {FILE}")
        try:
            return cls(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        vocab_size: int,
        control_tokens: int | None = None,
        normalization: Literal["identity", "nmt_nfkc"] = "identity",
        size: Literal["exact", "at most"] = "exact",
        max_lines: int = 2_000_000,
        seed: int = 0,
    ) -> Self:
        """Learn the pieces of a text. The same text and options give the same bytes.

        Args:
            texts: What to learn from; pieces never cross the end of a line.
            vocab_size: Number of ids, among them 256 for bytes.
            control_tokens: Spare control tokens. None: a 64th of the ids, up to 64.
            normalization: ``identity`` keeps every character; ``nmt_nfkc`` joins variants of characters and spaces,
                which cannot be undone.
            size: Whether a text that has fewer pieces is refused, or gives a smaller vocabulary.
            max_lines: Learn from so many lines, drawn at random.
            seed: Of the draw.

        Raises:
            ValueError: if there is no text, or not enough or too much of it for so many pieces.
        """
        spare = min(_MOST_CONTROL_TOKENS, vocab_size // 64) if control_tokens is None else control_tokens
        if vocab_size < 1 or spare < 0 or max_lines < 1:
            raise ValueError(f"vocab_size ({vocab_size}), control_tokens ({spare}), max_lines ({max_lines}): too low")
        lines = _lines(texts)
        first = next(lines, None)
        if first is None:
            raise ValueError("there is no text to train a tokenizer on")
        written, failures = io.BytesIO(), []
        set_random_generator_seed(seed)
        try:
            SentencePieceTrainer.train(
                sentence_iterator=_until_failure(itertools.chain([first], lines), failures),
                model_writer=written,
                model_type="unigram",
                vocab_size=vocab_size,
                hard_vocab_limit=size == "exact",
                unk_id=0,
                bos_id=1,
                eos_id=2,
                pad_id=3,
                control_symbols=[_CONTROL.format(i) for i in range(spare)],
                byte_fallback=True,
                split_digits=True,
                normalization_rule_name=normalization,
                remove_extra_whitespaces=False,
                add_dummy_prefix=False,
                max_sentence_length=8 * _LINE_CHARACTERS,  # in bytes; longer ones would be left out
                input_sentence_size=max_lines,
                shuffle_input_sentence=True,
                num_threads=_THREADS,
                minloglevel=_QUIET,
            )
        except RuntimeError as error:
            if not failures:
                raise ValueError(_explained(str(error), vocab_size)) from error
        if failures:
            raise failures[0]
        return cls(written.getvalue())

    @functools.cached_property
    def sha256(self) -> str:
        """Of the file."""
        return hashlib.sha256(self.model_bytes).hexdigest()

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without bos and eos.

        Raises:
            ValueError: if the text has half a surrogate pair, which is no character.
        """
        return self.encode_all([text])[0]

    def encode_all(self, texts: Sequence[str], *, num_threads: int = 1) -> list[list[int]]:
        """Ids of several texts, in threads.

        Raises:
            ValueError: as :meth:`encode`.
        """
        if self._has_bytes and any(_SPACE in text for text in texts):
            return [self._spelled_out(text, num_threads) for text in texts]
        return self._encode(texts, num_threads)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; control tokens, PAD and EPAD are silent, and bytes that are no UTF-8 become U+FFFD.

        Raises:
            ValueError: if an id is not one of ours.
        """
        if strange := [i for i in ids if not 0 <= i < self.vocab_size]:
            raise ValueError(f"token {strange[0]} is not in a vocabulary of {self.vocab_size}")
        return self._pieces.decode([i for i in ids if i not in self._silent])

    def words(self, row: Sequence[int]) -> list[tuple[int, str]]:
        """Words of a row with a token for each frame, as Moshi writes them, and the frame in which each begins.

        A word begins after padding, or with a piece that begins with a space; what is no token of ours is padding.
        Words that :attr:`heard` announces are the user's, and left out: :meth:`words_heard` has them.
        """
        return [(frame, word) for frame, word, is_heard in self._words(row) if not is_heard]

    def words_heard(self, row: Sequence[int]) -> list[tuple[int, str]]:
        """As :meth:`words`, those that Moshi has heard the user say."""
        return [(frame, word) for frame, word, is_heard in self._words(row) if is_heard]

    def _words(self, row: Sequence[int]) -> Iterator[tuple[int, str, bool]]:
        reader, word, is_heard = WordReader(self), list[int](), False
        for frame, token in enumerate([*row, self.pad]):
            part = reader.read(token)
            if word and part != "inside":
                yield frame - len(word), self.decode(word), is_heard
                word = []
            if part != "none":
                word.append(token)
                is_heard = reader.is_heard

    def is_text(self, token: int) -> bool:
        """Whether a token is one of ours that stands for text."""
        return 0 <= token < self.vocab_size and token not in self._silent

    def begins_word(self, token: int) -> bool:
        """Whether a token stands for text that begins with a space."""
        return self.is_text(token) and self.piece(token).startswith(_SPACE)

    def piece(self, token: int) -> str:
        """How SentencePiece writes a token, with U+2581 for a space."""
        return self._pieces.id_to_piece(token)

    def num_bytes(self) -> list[int]:
        """Bytes of UTF-8 that each token stands for: 0 for those that stand for no text. For bits per byte."""
        return [
            0
            if i in self._silent
            else 1
            if self._pieces.is_byte(i)
            else len(self.piece(i).replace(_SPACE, " ").encode())
            for i in range(self.vocab_size)
        ]

    def save(self, path: str | Path) -> None:
        """Write a ``.model`` file."""
        Path(path).write_bytes(self.model_bytes)

    def __reduce__(self) -> tuple[type[Self], tuple[bytes]]:
        return type(self), (self.model_bytes,)

    def _control_tokens(self) -> Iterator[int]:
        for number in range(self.vocab_size):
            token = self._pieces.piece_to_id(_CONTROL.format(number))
            if not self._pieces.is_control(token):
                return
            yield token

    def _encode(self, texts: Sequence[str], num_threads: int) -> list[list[int]]:
        try:
            if num_threads == 1:  # one call for a list costs more than twenty for short texts: it starts threads
                return [self._pieces.encode(text) for text in texts]
            return self._pieces.encode(list(texts), num_threads=num_threads)
        except (RuntimeError, TypeError, UnicodeEncodeError) as error:
            raise ValueError("a text has half a surrogate pair (such as \\ud800), which is no character") from error

    def _spelled_out(self, text: str, num_threads: int) -> list[int]:
        first, *others = self._encode(text.split(_SPACE), num_threads)
        spelling = [self._bytes[byte] for byte in _SPACE.encode()]
        return first + [token for part in others for token in spelling + part]


class WordReader:
    """Reads a row of text token by token: where words begin, and whose they are.

    A word begins after padding, or with a piece that begins with a space; what is no token of ours is padding. If
    :attr:`Tokenizer.heard` is right before it, it is the user's.

    Args:
        tokenizer: Of the text.
        padding: Tokens that are padding, beside the tokenizer's own.

    Attributes:
        is_heard: Whether the word that the last token is part of is the user's.
    """

    def __init__(self, tokenizer: Tokenizer, *, padding: Iterable[int] = ()):
        self._tokenizer, self._padding = tokenizer, frozenset(padding)
        self._in_word = self._announced = False
        self.is_heard = False

    def read(self, token: int) -> Literal["begins", "inside", "none"]:
        """What the next token is: the first of a word, another of the same word, or none of any."""
        if token in self._padding or not self._tokenizer.is_text(token):
            self._in_word = self.is_heard = False
            self._announced = token == self._tokenizer.heard
            return "none"
        if self._in_word and not self._tokenizer.begins_word(token):
            return "inside"
        self.is_heard = self._announced
        self._in_word, self._announced = True, False
        return "begins"


def _lines(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for line in text.replace(_SPACE, " ").splitlines():
            if line.strip():
                yield from (line[i : i + _LINE_CHARACTERS] for i in range(0, len(line), _LINE_CHARACTERS))


def _until_failure(lines: Iterator[str], failures: list[Exception]) -> Iterator[str]:
    """The lines; SentencePiece would turn what goes wrong with them into an error of its own."""
    try:
        yield from lines
    except Exception as error:
        failures.append(error)


def _explained(problem: str, vocab_size: int) -> str:
    if match := _TOO_HIGH.search(problem):
        return f"this text has too few pieces for a vocabulary of {vocab_size}: ask for {match[1]} at most, or add text"
    if match := _TOO_LOW.search(problem):
        return (
            f"a vocabulary of {vocab_size} cannot hold 256 bytes, the special tokens and the letters of this text: "
            f"ask for at least {match[1]}"
        )
    return f"SentencePiece cannot learn a vocabulary of {vocab_size} from this text: {problem}"
