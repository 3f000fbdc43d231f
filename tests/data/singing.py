"""Voices made of harmonics and resonances: they have a pitch, a timbre and vowels."""

import torch
from torch import Tensor

RATE = 16_000
VOWEL = RATE // 5
"""Samples of a vowel."""
PAUSE = RATE // 5
"""Samples of the pause at each end."""

_FORMANTS = {"a": (800, 1200), "e": (450, 1900), "i": (300, 2300), "o": (450, 850), "u": (330, 700)}


def voice(hz: float, tilt: float, vowels: str = "aiouaeio") -> Tensor:
    """Vowels [S] at :data:`RATE`, in a quiet room.

    Args:
        hz: pitch.
        tilt: how dark.
        vowels: of a fifth of a second each.
    """
    time = torch.arange(VOWEL) / RATE
    parts = []
    for vowel in vowels:
        tone = torch.zeros(VOWEL)
        for k in range(1, int(4000 / hz)):
            gain = sum(1 / (1 + ((k * hz - f) / 120) ** 2) for f in _FORMANTS[vowel]) + 0.01
            tone += gain * (k * hz / 500) ** -tilt * torch.sin(2 * torch.pi * hz * k * time)
        parts.append(tone * torch.hann_window(VOWEL).sqrt())
    wav = torch.cat([torch.zeros(PAUSE), *parts, torch.zeros(PAUSE)])
    noise = torch.randn(len(wav), generator=torch.Generator().manual_seed(0))
    return 0.1 * wav / wav.square().mean().sqrt() + 1e-4 * noise
