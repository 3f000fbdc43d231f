"""How likely a causal language model finds texts of any length: the one computation behind all scores of text.

A sequence longer than the model's window is scored in windows that overlap by half, so each token is scored once, and
all but those of the first window have at least half a window before them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

CausalLM = Callable[[Tensor], Tensor]
"""Tokens [B, T] -> logits [B, T, V], those at t for the token at t + 1. Helium, and whatever else does this."""

Floats = NDArray[np.float64]

_READ_AHEAD = 16  # batches whose windows are sorted by length, so that little is padding


@dataclass(frozen=True)
class _Window:
    """A stretch of a sequence that goes through the model.

    Args:
        sequence: which.
        tokens: what the model reads, and one more, which is only predicted.
        first: place in the sequence of the first token to score; those after it are scored too.
        count: how many are scored: the last ones.
    """

    sequence: int
    tokens: Sequence[int]
    first: int
    count: int


@torch.inference_mode()
def token_log_likelihoods(
    model: CausalLM,
    sequences: Iterable[Sequence[int]],
    *,
    window: int,
    batch_tokens: int = 4096,
    device: torch.device | str = "cpu",
) -> Iterator[Floats]:
    """Natural logarithm of the probability of each token given those before it.

    Args:
        model: in eval mode.
        sequences: token ids; the first token of each, such as bos, is given and not scored.
        window: most tokens that the model reads at once.
        batch_tokens: about so many go through the model together.
        device: where the model is.

    Yields:
        For each sequence, in order, [T - 1].

    Raises:
        ValueError: if the window is too short, or a sequence is empty.
    """
    if window < 2:
        raise ValueError(f"a window of {window} tokens: it must have 2 at least")
    for group in _groups(sequences, _READ_AHEAD * batch_tokens):
        scores = [np.empty(len(tokens) - 1) for tokens in group]
        windows = sorted(
            (w for i, tokens in enumerate(group) for w in _windows(i, tokens, window)), key=lambda w: -len(w.tokens)
        )
        start = 0
        while start < len(windows):
            batch = windows[start : start + max(1, batch_tokens // len(windows[start].tokens))]
            start += len(batch)
            for w, found in zip(batch, _scored(model, batch, device), strict=True):
                scores[w.sequence][w.first - 1 : w.first - 1 + w.count] = found
        yield from scores


def _groups(sequences: Iterable[Sequence[int]], size: int) -> Iterator[list[Sequence[int]]]:
    """Sequences in order, about so many tokens together."""
    group: list[Sequence[int]] = []
    num_tokens = 0
    for tokens in sequences:
        if not len(tokens):
            raise ValueError("an empty sequence has no first token to begin with")
        group.append(tokens)
        num_tokens += len(tokens)
        if num_tokens >= size:
            yield group
            group, num_tokens = [], 0
    yield group


def _windows(sequence: int, tokens: Sequence[int], window: int) -> Iterator[_Window]:
    done, end = 1, min(window, len(tokens) - 1)
    while done <= end:
        yield _Window(sequence, tokens[max(0, end - window) : end + 1], first=done, count=end + 1 - done)
        done, end = end + 1, min(end + window // 2, len(tokens) - 1)


def _scored(model: CausalLM, windows: Sequence[_Window], device: torch.device | str) -> Iterator[Floats]:
    longest = max(len(w.tokens) for w in windows)
    rows = [[*w.tokens, *[0] * (longest - len(w.tokens))] for w in windows]  # what follows changes nothing before it
    tokens = torch.tensor(rows, device=device)  # [B, T + 1]
    logits = model(tokens[:, :-1])  # [B, T, V]
    found = -F.cross_entropy(logits.float().transpose(1, 2), tokens[:, 1:], reduction="none").double().cpu().numpy()
    for row, w in zip(found, windows, strict=True):
        last = len(w.tokens) - 1
        yield row[last - w.count : last]
