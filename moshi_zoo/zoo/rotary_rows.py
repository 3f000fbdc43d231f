"""The order of the rows that make queries and keys: rotary positions turn neighbouring pairs, or half vectors.

Kyutai's models turn channels 2i and 2i + 1 together, most models of Hugging Face i and i + head_dim / 2. The rows of
the product that makes them say which; nothing else differs.
"""

from torch import Tensor


def to_halves(rows: Tensor, num_heads: int) -> Tensor:
    """Rows [H head_dim, D] for neighbouring pairs -> for half vectors."""
    return rows.unflatten(0, (num_heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def to_pairs(rows: Tensor, num_heads: int) -> Tensor:
    """Rows [H head_dim, D] for half vectors -> for neighbouring pairs."""
    return rows.unflatten(0, (num_heads, 2, -1)).transpose(1, 2).flatten(0, 2)
