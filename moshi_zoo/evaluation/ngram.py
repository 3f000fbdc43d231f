"""The yardstick for a language model: an n-gram model with interpolated, modified Kneser-Ney smoothing.

Chen and Goodman 1999, section 3: each order discounts its counts by one of three amounts and gives what it saved to the
order below, in which a symbol counts by the different contexts it was seen in; at the bottom every symbol is equally
likely. The probabilities of all symbols sum to one after any history. Works on symbols of any kind: tokens, or bytes.

All counting is done on arrays: an n-gram is known by a number, made of the number of its first n - 1 symbols and its
last one, so a text becomes a column of numbers for each order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_UNSEEN = -1
_LEAST_DISCOUNT = 0.1  # so that no symbol is ever impossible
_USUAL_DISCOUNTS = (0.5, 1.0, 1.5)  # where counts of counts say nothing, as in a tiny text


@dataclass(frozen=True)
class _Order:
    """The n-grams of one length.

    Args:
        keys: history * base + symbol, sorted; the number of an n-gram is its place here.
        kept: what discounting leaves of its probability, [N].
        passed_on: the share that each history gives to the order below, by the number of the history.
    """

    keys: Ints
    kept: Floats
    passed_on: Floats


class NGram:
    """An n-gram model of documents.

    Args:
        documents: to learn from, as symbols from 0 to ``vocab_size - 1``.
        vocab_size: how many symbols there are.
        order: n, the length of the longest n-grams. Before its beginning, a document has n - 1 times a symbol of its
            own, which is never predicted.

    Raises:
        ValueError: if there is nothing to learn from.
    """

    def __init__(self, documents: Iterable[Sequence[int]], *, vocab_size: int, order: int = 5):
        if order < 1:
            raise ValueError(f"an n-gram model of order {order}: it must be at least 1")
        self.vocab_size, self.order = vocab_size, order
        padded = [self._padded(document) for document in documents]
        if sum(len(document) - (order - 1) for document in padded) == 0:
            raise ValueError("there is no text to count n-grams in")
        starts = np.cumsum([0, *map(len, padded[:-1])])
        symbols = np.concatenate(padded)
        keys, columns = self._number(symbols, starts)
        self._orders = self._count(keys, columns, np.flatnonzero(symbols < vocab_size))

    def log2_probabilities(self, document: Sequence[int]) -> Floats:
        """Of each symbol given those before it, [T]."""
        symbols = self._padded(document)
        probabilities = np.full(len(document), 1 / self.vocab_size)
        history = np.zeros(len(symbols), np.int64)  # numbers of the (n - 1)-grams that end before each symbol
        for order in self._orders:
            at = self._look_up(order, history, symbols)
            places = slice(self.order - 1, None)
            probabilities = _interpolated(order, history[places], at[places], probabilities)
            history = np.concatenate([[_UNSEEN], at[:-1]])
        return np.log2(probabilities)

    def distribution(self, history: Sequence[int]) -> Floats:
        """Probability of every symbol after a history, [V]."""
        padded = self._padded(history)
        every = np.arange(self.vocab_size)
        probabilities = np.full(self.vocab_size, 1 / self.vocab_size)
        for n, order in enumerate(self._orders):
            before = np.zeros(1, np.int64)
            for shorter, symbol in zip(self._orders[:n], padded[len(padded) - n :], strict=True):
                before = self._look_up(shorter, before, np.array([symbol]))
            before = before.repeat(self.vocab_size)
            probabilities = _interpolated(order, before, self._look_up(order, before, every), probabilities)
        return probabilities

    @property
    def _base(self) -> int:
        return self.vocab_size + 1

    def _padded(self, document: Sequence[int]) -> Ints:
        return np.concatenate([np.full(self.order - 1, self.vocab_size), np.asarray(document, np.int64)])

    def _number(self, symbols: Ints, starts: Ints) -> tuple[list[Ints], list[Ints]]:
        """The keys of each order, and the number of the n-gram that ends at each symbol (none across documents)."""
        all_keys, columns = [], []
        history = np.zeros(len(symbols), np.int64)
        for _ in range(self.order):
            known = history != _UNSEEN
            keys, numbers = np.unique(history[known] * self._base + symbols[known], return_inverse=True)
            column = np.full(len(symbols), _UNSEEN)
            column[known] = numbers
            all_keys.append(keys)
            columns.append(column)
            history = np.concatenate([[_UNSEEN], column[:-1]])
            history[starts] = _UNSEEN
        return all_keys, columns

    def _count(self, keys: list[Ints], columns: list[Ints], predicted: Ints) -> list[_Order]:
        """From n-grams to probabilities, for each order. The longest n-grams count as often as they occur."""
        orders = []
        places = predicted
        for n in reversed(range(self.order)):
            counts = np.bincount(columns[n][places], minlength=len(keys[n]))
            num_histories = len(keys[n - 1]) if n else 1
            orders.append(_discounted(keys[n], keys[n] // self._base, counts, num_histories))
            # A shorter one counts once for each different symbol before it: at one place for each longer n-gram.
            _, first = np.unique(columns[n][predicted], return_index=True)
            places = predicted[first]
        return orders[::-1]

    def _look_up(self, order: _Order, history: Ints, symbols: Ints) -> Ints:
        """Numbers of n-grams, or ``_UNSEEN``."""
        keys = history * self._base + symbols
        found = np.minimum(np.searchsorted(order.keys, keys), len(order.keys) - 1)
        return np.where((history != _UNSEEN) & (order.keys[found] == keys), found, _UNSEEN)


def _discounted(keys: Ints, histories: Ints, counts: Ints, num_histories: int) -> _Order:
    discounts = np.array([0.0, *_discounts(counts)])[np.minimum(counts, 3)]
    totals = np.bincount(histories, weights=counts, minlength=num_histories)
    saved = np.bincount(histories, weights=discounts, minlength=num_histories)
    followed = np.maximum(totals, 1)  # a history that nothing follows passes all on
    passed_on = np.where(totals > 0, saved / followed, 1.0)
    return _Order(keys, (counts - discounts) / followed[histories], passed_on)


def _discounts(counts: Ints) -> list[float]:
    """For counts of one, two, and three or more."""
    n1, n2, n3, n4 = (int((counts == k).sum()) for k in range(1, 5))
    if not (n1 and n2 and n3):
        return list(_USUAL_DISCOUNTS)
    share = n1 / (n1 + 2 * n2)
    best = (1 - 2 * share * n2 / n1, 2 - 3 * share * n3 / n2, 3 - 4 * share * n4 / n3)
    return [min(max(discount, _LEAST_DISCOUNT), k) for k, discount in enumerate(best, start=1)]


def _interpolated(order: _Order, history: Ints, at: Ints, lower: Floats) -> Floats:
    kept = np.where(at == _UNSEEN, 0.0, order.kept[at])
    passed_on = np.where(history == _UNSEEN, 1.0, order.passed_on[history])
    return kept + passed_on * lower
