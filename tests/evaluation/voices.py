"""People made of noise: each has a timbre and a pitch of their own."""

import torch
from torch import Tensor

from moshi_zoo.evaluation.voiceprint import SAMPLE_RATE


def speak(who: int, take: int, seconds: float = 6.0) -> Tensor:
    """A take [S] of a person: buzz at their pitch through their resonances, loud and quiet by turns."""
    person = torch.Generator().manual_seed(who)
    moment = torch.Generator().manual_seed(1000 * who + take)
    resonances = 300 + 3500 * torch.rand(3, generator=person).sort().values
    pitch = 90 + 160 * torch.rand(1, generator=person)
    n = round(seconds * SAMPLE_RATE)
    time = torch.arange(n) / SAMPLE_RATE
    phase = (pitch * (1 + 0.05 * torch.sin(2 * torch.pi * 0.7 * time + take)) / SAMPLE_RATE).cumsum(0)
    source = (phase % 1 - 0.5) + 0.2 * torch.randn(n, generator=moment)
    spectrum, hz = torch.fft.rfft(source), torch.fft.rfftfreq(n, 1 / SAMPLE_RATE)
    gain = sum(1 / (1 + ((hz - resonance) / 150) ** 2) for resonance in resonances) + 0.02
    return torch.fft.irfft(spectrum * gain, n) * (1 + 0.5 * torch.sin(2 * torch.pi * 3 * time)) * 0.1
