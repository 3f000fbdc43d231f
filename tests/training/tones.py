"""Harmonic tones to train codecs on: in memory and as files."""

import math
from pathlib import Path

import soundfile
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

SAMPLE_RATE = 24_000
FRAME = 1920


def tone(index: int, num_samples: int) -> Tensor:
    """[1, S]: eight harmonics of a pitch of its own, which glides and swells."""
    t = torch.arange(num_samples) / SAMPLE_RATE
    pitch = 100 * 1.3 ** (index % 7) * (1 + 0.2 * torch.sin(2 * math.pi * (1 + index % 3) * t))
    phase = 2 * math.pi * pitch.cumsum(0) / SAMPLE_RATE
    wave = sum(torch.sin(h * phase) / h for h in range(1, 9))
    return 0.2 * (wave * (0.6 + 0.4 * torch.sin(2 * math.pi * (2 + index % 5) * t)))[None]


def clips(count: int, frames: int = 4) -> list[dict[str, Tensor]]:
    """Items of the codec's batches; the last quarter of every other clip is padding."""
    items = []
    for index in range(count):
        wav = tone(index, frames * FRAME)
        num_samples = wav.shape[1] - (index % 2) * FRAME * frames // 4
        wav[:, num_samples:] = 0
        items.append({"wav": wav, "num_samples": torch.tensor(num_samples), "index": torch.tensor(index)})
    return items


def write(folder: Path, seconds: list[float]) -> Path:
    """A folder of recordings of these lengths."""
    folder.mkdir()
    for index, length in enumerate(seconds):
        samples = tone(index, round(length * SAMPLE_RATE))[0].numpy()
        soundfile.write(folder / f"{index:02}.wav", samples, SAMPLE_RATE)
    return folder


class Tones(LightningDataModule):
    """Clips in order, the same every epoch."""

    def __init__(self, items: list[dict[str, Tensor]], batch_size: int):
        super().__init__()
        self.items, self.batch_size = items, batch_size

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.items, self.batch_size)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.items[:2], 2)
