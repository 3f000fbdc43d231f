"""What is known about a recording beside its sound, 50 times a second: so that a window can bring it along."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from moshi_zoo.data.manifest import Recording

TRACK_RATE = 50  # Hz: that of speech models' features

UNKNOWN, SILENCE = -1, 0
"""Numbers of a phoneme track that are no phonemes."""

_STRESS = "',"  # espeak's marks before a phoneme: stress is not another sound


class Track(Protocol):
    """Something about recordings in steps of 20 ms."""

    def at(self, path: Path, start_s: float, num_steps: int) -> Tensor:
        """``[..., N]``; step n is what holds at ``start_s`` + (n + 1/2) / 50 s. Same shape for every recording."""


@dataclass(frozen=True)
class _Timeline:
    starts: np.ndarray  # s
    ends: np.ndarray
    numbers: np.ndarray


class PhonemeTrack:
    """Phonemes as numbers: from 1 in alphabetical order without stress, 0 between them, -1 where nothing is known.

    Args:
        recordings: where known with ``[phoneme, start_s, end_s]`` of each phoneme.

    Raises:
        ValueError: if phonemes are no such lists.
    """

    def __init__(self, recordings: Iterable[Recording]):
        known = [(r, _parse(r, r.phonemes)) for r in recordings if r.phonemes]
        self.symbols = sorted({symbol for _, phonemes in known for symbol, _, _ in phonemes})
        numbers = {symbol: number for number, symbol in enumerate(self.symbols, SILENCE + 1)}
        self._timelines = {
            recording.path: _Timeline(
                starts=np.array([start for _, start, _ in phonemes]),
                ends=np.array([end for _, _, end in phonemes]),
                numbers=np.array([numbers[symbol] for symbol, _, _ in phonemes]),
            )
            for recording, phonemes in known
        }

    def at(self, path: Path, start_s: float, num_steps: int) -> Tensor:
        """Int64 [N]; see :class:`Track`."""
        timeline = self._timelines.get(path)
        if timeline is None:
            return torch.full((num_steps,), UNKNOWN)
        times = start_s + (np.arange(num_steps) + 0.5) / TRACK_RATE
        last = np.searchsorted(timeline.starts, times, side="right") - 1  # that has begun
        is_said = (last >= 0) & (times < timeline.ends[last])
        return torch.from_numpy(np.where(is_said, timeline.numbers[last], SILENCE))


def _parse(recording: Recording, phonemes: Sequence[Any]) -> list[tuple[str, float, float]]:
    try:
        parsed = [(str(symbol).strip(_STRESS), float(start), float(end)) for symbol, start, end, *_ in phonemes]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{recording.path}: its phonemes are not [symbol, start in seconds, end in seconds] each"
        ) from error
    return sorted(parsed, key=lambda phoneme: phoneme[1])
