"""Folders of recordings to test with."""

from collections.abc import Callable
from pathlib import Path

import pytest

from moshi_zoo.data import audio
from tests.data.sounds import noise


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
