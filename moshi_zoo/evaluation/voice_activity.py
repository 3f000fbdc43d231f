"""When somebody speaks, by the energy of the sound."""

import torch
from torch import Tensor

from moshi_zoo.data.turn_statistics import Span

_HOP_S, _WINDOW_S = 0.01, 0.04
_BRIDGED_S = 0.12  # silence within speech: the closure before a stop
_LEAST_S = 0.06  # shorter sounds are clicks

SPEECH_DB = -45.0
"""RMS below full scale from which on sound is speech: Moshi speaks at -24 dB, and its room is at -52 dB at most."""


def speech_spans(wav: Tensor, sample_rate: int, *, threshold_db: float = SPEECH_DB) -> list[Span]:
    """Stretches of speech in a waveform.

    Args:
        wav: [S].
        sample_rate: in Hz.
        threshold_db: of the level in windows of 40 ms, below full scale.
    """
    hop, window = round(_HOP_S * sample_rate), round(_WINDOW_S * sample_rate)
    if len(wav) < window:
        return []
    power = wav.float().unfold(0, window, hop).square().mean(1)
    loud = power > 10 ** (threshold_db / 10)
    edges = torch.diff(loud.int(), prepend=loud.new_zeros(1).int(), append=loud.new_zeros(1).int())
    offset = (_WINDOW_S - _HOP_S) / 2  # a window speaks for its middle
    starts, ends = ([n * _HOP_S + offset for n in (edges == sign).nonzero()[:, 0].tolist()] for sign in (1, -1))
    spans: list[Span] = []
    for start, end in zip(starts, ends, strict=True):
        if spans and start - spans[-1][1] < _BRIDGED_S:
            spans[-1] = spans[-1][0], end
        else:
            spans.append((start, end))
    return [(start, end) for start, end in spans if end - start >= _LEAST_S]
