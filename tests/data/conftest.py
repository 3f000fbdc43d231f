"""Recordings to test with: made here, small, and with sound in every window."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from moshi_zoo.data import audio


def noise(seconds: float, sample_rate: int, channels: int = 1, seed: int = 0) -> Tensor:
    """[C, S] with a peak of 0.5."""
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (channels, round(seconds * sample_rate)))
    return torch.from_numpy(samples.astype(np.float32))


def tone(hertz: float, seconds: float, sample_rate: int) -> Tensor:
    """[1, S] with an amplitude of 0.5."""
    time = torch.arange(round(seconds * sample_rate), dtype=torch.float64) / sample_rate
    return (0.5 * torch.sin(2 * torch.pi * hertz * time)).float()[None]


@pytest.fixture
def recordings(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder: ``recordings({"a.wav": 2.0, "b.flac": 0.5})`` seconds of noise, each file with its own."""

    def make(files: dict[str, float], sample_rate: int = 24000) -> Path:
        folder = tmp_path / "recordings"
        for seed, (name, seconds) in enumerate(files.items()):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            audio.save(path, noise(seconds, sample_rate, seed=seed), sample_rate)
        return folder

    return make
