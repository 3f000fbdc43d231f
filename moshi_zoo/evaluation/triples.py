"""Which segments ABX compares: triples balanced over contrasts, and the mean over them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mode = Literal["within", "across"]


@dataclass(frozen=True)
class Triples:
    """Indices of segments, [M] each, in the order of their cells.

    Args:
        a: the first word.
        b: another word of the same speaker.
        x: another instance of the first word: of the same speaker (within) or of another one (across).
        contrast: number of the ordered pair of words, rising.
        cell: number of the contrast's speaker (within) or pair of speakers (across), rising.
    """

    a: Ints
    b: Ints
    x: Ints
    contrast: Ints
    cell: Ints

    def __len__(self) -> int:
        return len(self.a)


def sample_triples(labels: Sequence[str], speakers: Sequence[str], *, mode: Mode, limit: int, seed: int) -> Triples:
    """Draw triples, the same number for each contrast as far as there are so many, spread evenly over its speakers.

    Args:
        labels: what each segment says.
        speakers: who says it.
        mode: whether x is of the same speaker.
        limit: at most so many triples; with more contrasts than that, as many contrasts are drawn.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    num_labels, num_speakers = len(set(labels)), len(set(speakers))
    label = np.unique(labels, return_inverse=True)[1]
    speaker = np.unique(speakers, return_inverse=True)[1]
    counts = np.zeros((num_speakers, num_labels), dtype=np.int64)
    np.add.at(counts, (speaker, label), 1)
    by_cell = np.lexsort((label, speaker))
    ends = counts.cumsum().reshape(counts.shape)

    def members(s: int, l: int) -> Ints:
        return by_cell[ends[s, l] - counts[s, l] : ends[s, l]]

    contrasts = _contrasts(counts, mode)
    if len(contrasts) > limit:
        contrasts = contrasts[np.sort(rng.choice(len(contrasts), limit, replace=False))]
    drawn: list[Ints] = []  # [m, 5]: a, b, x, contrast, cell
    num_cells = 0
    for number, (first, second) in enumerate(contrasts):
        cells = rng.permutation(_cells(counts, first, second, mode))
        share = np.diff(np.linspace(0, limit // len(contrasts), len(cells) + 1).round().astype(int))
        for (s, t), size in zip(cells[share > 0], share[share > 0], strict=True):
            abx = _draw(members(s, first), members(s, second), members(t, first), size, rng, same=s == t)
            drawn.append(np.column_stack([abx, np.full(len(abx), number), np.full(len(abx), num_cells)]))
            num_cells += 1
    return Triples(*(np.concatenate(drawn).T if drawn else np.zeros((5, 0), np.int64)))


def mean_over_contrasts(values: Floats, triples: Triples, weights: Floats | None = None) -> Floats:
    """Mean over contrasts of the mean over speakers of the mean over triples.

    Args:
        values: of the triples, [M].
        triples: at least one.
        weights: of the triples, [R, M]; cells without weight do not count.

    Returns:
        [R]; [1] without weights.
    """
    weights = np.ones((1, len(values))) if weights is None else weights
    first_of_cell = np.unique(triples.cell, return_index=True)[1]
    first_of_contrast = np.unique(triples.contrast[first_of_cell], return_index=True)[1]
    total = np.add.reduceat(weights, first_of_cell, axis=1)
    cells = np.divide(np.add.reduceat(weights * values, first_of_cell, axis=1), total, where=total > 0, out=0 * total)
    known = np.add.reduceat((total > 0).astype(float), first_of_contrast, axis=1)
    sums = np.add.reduceat(cells, first_of_contrast, axis=1)
    contrasts = np.divide(sums, known, where=known > 0, out=0 * sums)
    with np.errstate(invalid="ignore"):
        return contrasts.sum(axis=1) / (known > 0).sum(axis=1)


def _contrasts(counts: Ints, mode: Mode) -> Ints:
    """Ordered pairs of labels [n, 2] that some speaker can tell apart; ``counts`` is [speakers, labels]."""
    has = (counts >= 1).astype(np.int64)
    if mode == "within":
        possible = (counts >= 2).astype(np.int64).T @ has > 0
    else:
        possible = (has.T @ has > 0) & (has.sum(axis=0) >= 2)[:, None]
    np.fill_diagonal(possible, val=False)
    return np.argwhere(possible)


def _cells(counts: Ints, first: int, second: int, mode: Mode) -> Ints:
    """Who can say a and b, and who x: [n, 2]."""
    if mode == "within":
        own = np.flatnonzero((counts[:, first] >= 2) & (counts[:, second] >= 1))
        return np.column_stack([own, own])
    own = np.flatnonzero((counts[:, first] >= 1) & (counts[:, second] >= 1))
    others = np.flatnonzero(counts[:, first] >= 1)
    return np.array([(s, t) for s in own for t in others if s != t])


def _draw(a: Ints, b: Ints, x: Ints, size: int, rng: np.random.Generator, *, same: bool) -> Ints:
    """Different triples (a, b, x) of a cell, [m, 3]; where ``same``, a and x are the same list but never equal."""
    num_x = len(x) - same
    number = rng.choice(len(a) * len(b) * num_x, min(size, len(a) * len(b) * num_x), replace=False)
    i, rest = np.divmod(number, len(b) * num_x)
    j, k = np.divmod(rest, num_x)
    k = k + (same & (k >= i))
    return np.column_stack([a[i], b[j], x[k]])
