"""Codecs of random weights, made once: to save one takes longer than the tests that use it."""

import functools
import shutil
import tempfile
from pathlib import Path

import torch

from moshi_zoo import registry
from moshi_zoo.models.mimi import Mimi
from moshi_zoo.zoo import folder


def tiny_codec(place: Path, seed: int = 0) -> Mimi:
    """Put a zoo folder with a `mimi-tiny` at a place, and return the codec."""
    made, net = _made(seed)
    shutil.copytree(made.name, place)
    return net


@functools.cache
def _made(seed: int) -> tuple[tempfile.TemporaryDirectory, Mimi]:
    made = tempfile.TemporaryDirectory()
    torch.manual_seed(seed)
    net = registry.build("mimi-tiny").eval()
    folder.save(Path(made.name), registry.to_portable(registry.preset("mimi-tiny")), net.state_dict(), stage="test")
    return made, net
