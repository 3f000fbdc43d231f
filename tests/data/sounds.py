"""Sounds to test with: made here, small, and loud in every window."""

import numpy as np
import torch
from torch import Tensor


def noise(seconds: float, sample_rate: int, channels: int = 1, seed: int = 0) -> Tensor:
    """White noise [C, S] with a peak of 0.5."""
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (channels, round(seconds * sample_rate)))
    return torch.from_numpy(samples.astype(np.float32))


def tone(hertz: float, seconds: float, sample_rate: int) -> Tensor:
    """A sine [1, S] with an amplitude of 0.5."""
    time = torch.arange(round(seconds * sample_rate), dtype=torch.float64) / sample_rate
    return (0.5 * torch.sin(2 * torch.pi * hertz * time)).float()[None]
