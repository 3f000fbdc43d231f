"""A Bloom filter over FNV-1a hashes: remembers billions of lines in a few bits each, without ever forgetting one.

It may take a new line for one seen before, with a chance that is known. The same lines give the same bits on every
machine. (B. Bloom 1970; Kirsch and Mitzenmacher 2006 for making all hashes from two.)
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_OFFSET, _PRIME = 0xCBF29CE484222325, 0x100000001B3  # of FNV-1a, 64 bits
_WORD = 0xFFFFFFFFFFFFFFFF
_FEW = 16  # fewer items than this are faster one by one


class BloomFilter:
    """A set that only grows.

    Args:
        num_bits: memory, m; 8 to a byte.
        num_hashes: bits set for an item, k.

    Attributes:
        num_items: how many different items were added, as far as the filter can tell.
    """

    def __init__(self, num_bits: int, num_hashes: int):
        if num_bits < 8 or num_hashes < 1:
            raise ValueError(f"a Bloom filter of {num_bits} bits and {num_hashes} hashes: it needs 8 and 1 at least")
        self.num_bits, self.num_hashes, self.num_items = num_bits, num_hashes, 0
        self._bytes = np.zeros(-(-num_bits // 8), np.uint8)

    @classmethod
    def sized_for(cls, num_items: int, *, false_positives: float) -> "BloomFilter":
        """The smallest filter for so many items.

        Args:
            num_items: how many different items it will hold.
            false_positives: share of new items that it may take for old ones when it holds them all.
        """
        if num_items < 1 or not 0 < false_positives < 1:
            raise ValueError(f"a Bloom filter for {num_items} items with a share of {false_positives} false positives")
        bits_per_item = -math.log(false_positives) / math.log(2) ** 2
        return cls(math.ceil(max(num_items * bits_per_item, 8)), max(1, round(bits_per_item * math.log(2))))

    @property
    def false_positives(self) -> float:
        """Expected share of new items that are taken for old ones, at what the filter holds now."""
        return (1 - math.exp(-self.num_hashes * self.num_items / self.num_bits)) ** self.num_hashes

    def add(self, item_hash: int) -> bool:
        """Add an item by its hash, and say whether it seems to have been there before."""
        first, second = item_hash, _mixed(item_hash) | 1
        seen = True
        for i in range(self.num_hashes):
            place, bit = divmod((first + i * second & _WORD) % self.num_bits, 8)
            byte = int(self._bytes[place])
            if not byte >> bit & 1:
                seen = False
                self._bytes[place] = byte | 1 << bit
        self.num_items += not seen
        return seen


def fnv1a_64(items: Sequence[bytes]) -> list[int]:
    """FNV-1a hashes of 64 bits (Fowler, Noll and Vo 1991)."""
    return [_hash(item) for item in items] if len(items) < _FEW else _hashes_together(items)


def _hash(item: bytes) -> int:
    value = _OFFSET
    for byte in item:
        value = (value ^ byte) * _PRIME & _WORD
    return value


def _hashes_together(items: Sequence[bytes]) -> list[int]:
    """One step for the n-th bytes of all items; the longest items come first, so those not yet over are a prefix."""
    order = sorted(range(len(items)), key=lambda i: -len(items[i]))
    lengths = np.array([len(items[i]) for i in order])
    columns = np.zeros((lengths[0], len(items)), np.uint64)
    for column, i in enumerate(order):
        columns[: lengths[column], column] = np.frombuffer(items[i], np.uint8)
    values = np.full(len(items), _OFFSET, np.uint64)
    going = np.searchsorted(-lengths, -np.arange(1, lengths[0] + 1), side="right")
    for row, count in zip(columns, going, strict=True):
        values[:count] = (values[:count] ^ row[:count]) * np.uint64(_PRIME)
    hashes: NDArray[np.uint64] = np.empty_like(values)
    hashes[order] = values
    return hashes.tolist()


def _mixed(value: int) -> int:
    """A second hash out of the first, independent enough (the finaliser of MurmurHash3)."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        value = (value ^ value >> 33) * factor & _WORD
    return value ^ value >> 33
