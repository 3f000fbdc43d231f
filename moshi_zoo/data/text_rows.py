"""Rows of tokens: documents one after the other, cut into rows of one length, with a note of where they meet.

Rows overlap by one token: the last of one is the first of the next, so that each token is once to be predicted.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moshi_zoo.data.text_documents import Encoded
from moshi_zoo.data.text_store import Documents

_KEPT_DOCUMENTS = 1 << 20  # of the orders that are kept at hand: short passes come by the dozen in an epoch


@dataclass(frozen=True)
class Row:
    """A row to learn from.

    Args:
        tokens: int64 [T+1].
        loss_mask: bool [T]: which of ``tokens[1:]`` are to be predicted. The first token of a document is not: what
            comes before it is another document.
        document: int64 [T+1]: the number, in this row, of the document that a token belongs to.
    """

    tokens: NDArray[np.int64]
    loss_mask: NDArray[np.bool_]
    document: NDArray[np.int64]


class Rows(Protocol):
    """Rows by number.

    Args:
        num_rows: How many have everything once. Training goes on to count beyond it.
    """

    num_rows: int

    def row(self, index: int) -> Row:
        """A row, always the same for a number."""
        ...


class StreamRows:
    """Training rows without padding: documents in a new order for each pass, in one endless stream.

    Row ``i`` begins at token ``i * seq_len``. A pass does not end with a row: the next pass goes on in it, so that
    every token is predicted exactly once a pass.

    Args:
        documents: What to read.
        seq_len: T: tokens to predict in a row.
        seed: Of the order.
    """

    def __init__(self, documents: Documents, *, seq_len: int, seed: int):
        self.documents, self.seq_len, self.seed = documents, seq_len, seed
        self.num_tokens = documents.num_tokens
        self.num_rows = max(self.num_tokens // seq_len, 1)
        self._passes: dict[int, _Chain] = {}

    def row(self, index: int) -> Row:
        """A row of the endless stream."""
        pieces, place, wanted = [], index * self.seq_len, self.seq_len + 1
        while wanted:
            number, start = divmod(place, self.num_tokens)
            taken = min(wanted, self.num_tokens - start)
            pieces += self._pass(number).pieces(start, start + taken)
            place, wanted = place + taken, wanted - taken
        return _assembled(pieces, self.seq_len)

    def _pass(self, number: int) -> "_Chain":
        if number not in self._passes:
            while len(self._passes) >= max(_KEPT_DOCUMENTS // len(self.documents), 2):
                del self._passes[min(self._passes)]
            order = np.random.default_rng((self.seed, number)).permutation(len(self.documents))
            self._passes[number] = _Chain(self.documents, order)
        return self._passes[number]


class InOrderRows:
    """Rows with every token once, in the order of the documents; the last row is filled up with padding.

    Args:
        documents: What to read.
        seq_len: T.
        pad: Fills the last row.
    """

    def __init__(self, documents: Documents, *, seq_len: int, pad: int):
        self.seq_len, self.pad = seq_len, pad
        self._chain, self._num_tokens = _Chain(documents), documents.num_tokens
        self.num_rows = max(-(-(self._num_tokens - 1) // seq_len), 1)

    def row(self, index: int) -> Row:
        """One of ``num_rows``."""
        start = index * self.seq_len
        pieces = self._chain.pieces(start, min(start + self.seq_len + 1, self._num_tokens))
        return _assembled(pieces, self.seq_len, pad=self.pad)


class WholeRows:
    """Rows of whole documents: as many as fit, then padding. Longer ones than a row lose their end.

    Which documents share a row is settled once (best fit, the longest first).

    Args:
        documents: What to read.
        seq_len: T.
        pad: Fills up rows.

    Attributes:
        num_cut: How many documents are longer than a row.
    """

    def __init__(self, documents: Documents, *, seq_len: int, pad: int):
        self.documents, self.seq_len, self.pad = documents, seq_len, pad
        self.num_cut = int((documents.lengths > seq_len + 1).sum())
        self._members = best_fit(np.minimum(documents.lengths, seq_len + 1), seq_len + 1)
        self.num_rows = len(self._members)

    def row(self, index: int) -> Row:
        """A row; after the last comes the first again."""
        pieces = []
        for number in self._members[index % self.num_rows]:
            start, length = int(self.documents.starts[number]), int(self.documents.lengths[number])
            pieces.append(_piece(self.documents, start, start + min(length, self.seq_len + 1)))
        return _assembled(pieces, self.seq_len, pad=self.pad)


class EndlessRows:
    """Rows of documents that are made on the way: no row comes twice.

    Every row begins with a new document. What does not fit in any more is dropped: there is more where it came from.

    Args:
        write: The documents of a row, without end, for its number.
        seq_len: T.
        num_rows: What to call a pass.
        pad: Fills up rows of whole documents; None: rows are full, and their last document is cut.
    """

    def __init__(
        self, write: Callable[[int], Iterator[Encoded]], *, seq_len: int, num_rows: int, pad: int | None = None
    ):
        self.write, self.seq_len, self.num_rows, self.pad = write, seq_len, num_rows, pad

    def row(self, index: int) -> Row:
        """A row."""
        room = self.seq_len + 1
        documents: list[Encoded] = []
        for document in self.write(index):
            if self.pad is not None and documents and len(document.tokens) > room:
                break
            documents.append(_cut(document, room))
            room -= len(documents[-1].tokens)
            if not room:
                break
        return _assembled(_whole(Documents.from_encoded(documents)), self.seq_len, pad=self.pad)


def best_fit(lengths: NDArray[Any], room: int) -> list[list[int]]:
    """Distribute things over as few boxes as is easily done: the longest first, each where it fits best.

    Args:
        lengths: Of the things, at most ``room`` each.
        room: Length of a box.

    Returns:
        For each box, the numbers of the things in it.
    """
    boxes: list[list[int]] = []
    by_room: list[list[int]] = [[] for _ in range(room + 1)]  # boxes with so much room left
    spaces = np.zeros(room + 1, bool)  # where there are any
    for number in np.argsort(-np.asarray(lengths), kind="stable"):
        length = int(lengths[number])
        found = length + int(np.argmax(spaces[length:]))
        if spaces[found]:
            box = by_room[found].pop()
            spaces[found] = bool(by_room[found])
        else:
            box, found = len(boxes), room
            boxes.append([])
        boxes[box].append(int(number))
        by_room[found - length].append(box)
        spaces[found - length] = True
    return boxes


def collate(rows: Sequence[Row]) -> dict[str, Tensor]:
    """A batch ``{tokens [B, T+1] int64, loss_mask [B, T] bool, document [B, T+1] int64}``."""
    return {
        "tokens": torch.from_numpy(np.stack([row.tokens for row in rows])),
        "loss_mask": torch.from_numpy(np.stack([row.loss_mask for row in rows])),
        "document": torch.from_numpy(np.stack([row.document for row in rows])),
    }


@dataclass(frozen=True)
class _Piece:
    """A stretch of one document; ``counted`` None: all of it."""

    tokens: NDArray[Any]
    counted: NDArray[np.bool_] | None


class _Chain:
    """Documents end to end, in an order; None: in their own."""

    def __init__(self, documents: Documents, order: NDArray[np.int64] | None = None):
        self.documents = documents
        self._starts = documents.starts if order is None else documents.starts[order]
        self._ends = np.cumsum(documents.lengths if order is None else documents.lengths[order])

    def pieces(self, start: int, stop: int) -> Iterator[_Piece]:
        """What lies between two places."""
        number = int(np.searchsorted(self._ends, start, side="right"))
        while start < stop:
            begin, end = int(self._ends[number - 1]) if number else 0, int(self._ends[number])
            shift = int(self._starts[number]) - begin
            yield _piece(self.documents, start + shift, min(end, stop) + shift)
            start, number = end, number + 1


def _piece(documents: Documents, start: int, stop: int) -> _Piece:
    counted = documents.counted
    return _Piece(documents.tokens[start:stop], None if counted is None else counted[start:stop])


def _whole(documents: Documents) -> Iterator[_Piece]:
    return _Chain(documents).pieces(0, documents.num_tokens)


def _cut(document: Encoded, length: int) -> Encoded:
    return Encoded(document.tokens[:length], document.counted and document.counted[:length])


def _assembled(pieces: Iterable[_Piece], seq_len: int, *, pad: int | None = None) -> Row:
    """A row of pieces, each of another document, filled up with padding, which is a document of its own."""
    pieces = list(pieces)
    lengths = [len(piece.tokens) for piece in pieces]
    room = seq_len + 1 - sum(lengths)
    assert room == 0 or (room > 0 and pad is not None), "only padding fills a row up"
    padding = np.full(room, pad if pad is not None else 0)
    tokens = np.concatenate([*(piece.tokens for piece in pieces), padding]).astype(np.int64)
    document = np.repeat(np.arange(len(pieces) + 1), [*lengths, room])
    counted = np.concatenate([*(_counted(piece) for piece in pieces), np.zeros(room, bool)])
    return Row(tokens, counted[1:] & (document[1:] == document[:-1]), document)


def _counted(piece: _Piece) -> NDArray[np.bool_]:
    return np.ones(len(piece.tokens), bool) if piece.counted is None else piece.counted
