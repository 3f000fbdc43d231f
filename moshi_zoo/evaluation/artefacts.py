"""What can go wrong with free speech, seen in the entropy of tokens: silence, repetition, noise, gibberish.

The detector of the Moshi paper's appendix D: entropies, in nats, of the tokens in a sliding context, judged in windows.
"""

from collections import Counter
from typing import Literal, get_args

import torch
from torch import Tensor

Artefact = Literal["none", "silence", "repetitive", "background noise", "noisy", "gibberish"]
"""``silence``: no text, and codes hardly change. ``background noise``: no text, but codes do. ``repetitive``: the text
goes round in circles. ``noisy``: codebooks disagree about how much happens. ``gibberish``: text without padding."""

ARTEFACTS: tuple[Artefact, ...] = get_args(Artefact)

CONTEXT = 64
"""Tokens whose entropy is taken, and length of a window."""

_SLOPE, _QUIET, _DENSE_TEXT, _SPREAD = 1e-3, 2.0, 3.5, 0.6


def artefacts(text: Tensor, codes: Tensor, *, context: int = CONTEXT) -> Counter[Artefact]:
    """How many windows of a stream show what.

    Args:
        text: tokens, int64 [T].
        codes: int64 [K, T], none below 0.
        context: tokens that each entropy sees, and entropies of a window. A shorter stream is one window.
    """
    context = min(context, text.shape[0] // 2 or 1)
    of_text = sliding_entropy(text[None], context)[0]  # [T - context + 1]
    of_codes = sliding_entropy(codes, context)  # [K, T - context + 1]
    whole = max(len(of_text) // context, 1) * context
    windows = zip(of_text[:whole].split(context), of_codes[:, :whole].split(context, dim=1), strict=True)
    return Counter(_judged(*window) for window in windows)


def sliding_entropy(tokens: Tensor, context: int) -> Tensor:
    """Entropy in nats of the last ``context`` tokens [R, T] at each place that has so many, [R, T - context + 1]."""
    seen = torch.unique(tokens, return_inverse=True)[1]  # [R, T], numbered without gaps
    counts = torch.zeros(*seen.shape, int(seen.max()) + 1, dtype=torch.float64)
    counts.scatter_(-1, seen[..., None].cpu(), 1.0)
    until = torch.cat([torch.zeros_like(counts[:, :1]), counts.cumsum(1)], dim=1)
    shares = (until[:, context:] - until[:, :-context]) / context
    return torch.special.entr(shares).sum(-1)


def _judged(text: Tensor, codes: Tensor) -> Artefact:
    entropy = float(text.mean())
    if entropy < 1e-9:
        return "silence" if float(codes.mean(1).median()) <= _QUIET else "background noise"
    if entropy > _DENSE_TEXT:
        return "gibberish"
    if len(text) > 1 and abs(_slope(text)) < _SLOPE:
        return "repetitive"
    return "noisy" if float(codes.mean(1).std()) > _SPREAD else "none"


def _slope(values: Tensor) -> float:
    """Of the straight line through values, a step."""
    steps = torch.arange(len(values), dtype=values.dtype) - (len(values) - 1) / 2
    return float((steps * values).sum() / steps.square().sum())
