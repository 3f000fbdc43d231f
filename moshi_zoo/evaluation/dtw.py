"""Dynamic time warping of many pairs of short sequences at once."""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

_CHUNK = 1 << 22  # numbers gathered at once: 32 MB


def dtw_distances(sequences: Sequence[Tensor], pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean frame distance along the cheapest path, as the ZeroSpeech tools define it.

    Frames differ by the angle between them over pi (0: same direction, 0.5: orthogonal; those tools call it the cosine
    distance). A path goes from both starts to both ends in steps of one frame in either or both sequences; its cost is
    the sum over its cells. The cost of the cheapest path is divided by its number of cells (of equally cheap ones
    the one with most diagonal steps at its end).

    Args:
        sequences: vectors [T, D] each, T >= 1, on the CPU.
        pairs: which to compare, [P, 2].

    Returns:
        [P], between 0 and 1.
    """
    lengths = np.array([len(sequence) for sequence in sequences])
    starts = torch.from_numpy(np.concatenate([[0], lengths.cumsum()[:-1]]))
    frames = F.normalize(torch.cat(list(sequences)).double(), dim=1)  # [sum of T, D]
    longest = lengths[pairs].max(axis=1)
    order = np.argsort(-longest, kind="stable")  # like with like: little padding
    distances = np.empty(len(pairs))
    while len(order):
        length = longest[order[0]]
        chosen, order = np.split(order, [max(_CHUNK // (length * max(length, frames.shape[1])), 1)])
        a, b = pairs[chosen].T
        length_a, length_b = torch.from_numpy(lengths[a]), torch.from_numpy(lengths[b])
        between = _frame_distances(frames, starts[a], length_a, starts[b], length_b)
        distances[chosen] = _cheapest(between, length_a, length_b).numpy()
    return distances


def _frame_distances(frames: Tensor, start_a: Tensor, length_a: Tensor, start_b: Tensor, length_b: Tensor) -> Tensor:
    """[P, I, J]; cells beyond a sequence's end repeat its last frame and are not used."""

    def gather(start: Tensor, length: Tensor) -> Tensor:
        steps = torch.arange(int(length.max()))
        return frames[start[:, None] + steps.minimum(length[:, None] - 1)]  # [P, T, D]

    cosine = gather(start_a, length_a) @ gather(start_b, length_b).transpose(1, 2)
    return cosine.clamp(-1, 1).acos() / math.pi


def _cheapest(distances: Tensor, length_a: Tensor, length_b: Tensor) -> Tensor:
    """[P, I, J] -> [P]."""
    P, I, J = distances.shape
    distances = distances.permute(1, 2, 0).contiguous()  # a cell of all pairs is one vector
    # Diagonal after diagonal (i + j = d), each from the two before it. Row d + 2 holds diagonal d, its column i + 1 the
    # cell (i, d - i): so the cell before both starts is at (0, 0), and what lies outside the grid is never reached.
    cost = distances.new_full((I + J + 1, I + 1, P), torch.inf)
    cells = torch.zeros_like(cost)  # of the cheapest path up to here
    cost[0, 0] = 0
    for d in range(I + J - 1):
        low, high = max(0, d - J + 1), min(I, d + 1)
        diagonal, left, up = cost[d, low:high], cost[d + 1, low + 1 : high + 1], cost[d + 1, low:high]
        i = torch.arange(low, high)
        straight = torch.minimum(left, up)
        turns = torch.where(left <= up, cells[d + 1, low + 1 : high + 1], cells[d + 1, low:high])
        cost[d + 2, low + 1 : high + 1] = distances[i, d - i] + torch.minimum(diagonal, straight)
        cells[d + 2, low + 1 : high + 1] = 1 + torch.where(diagonal <= straight, cells[d, low:high], turns)
    ends = length_a + length_b, length_a, torch.arange(P)
    return cost[ends] / cells[ends]
