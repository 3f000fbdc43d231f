"""A Moshi, a codec and a tokenizer of random weights, made once."""

import functools
import shutil
import tempfile
from pathlib import Path

import torch

from moshi_zoo import registry
from moshi_zoo.models.mimi import Mimi
from moshi_zoo.models.moshi import Moshi
from moshi_zoo.runtime.conversations import Conversations
from moshi_zoo.runtime.pair import Pair
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.zoo import folder
from moshi_zoo.zoo.config import Parent

TEXT = "one two three four five six seven eight nine ten. what is the next number? hello there, i see."
CHANGES = {"vocab_size": 400}


@functools.cache
def tokenizer() -> Tokenizer:
    """Of a few words; its ids are fewer than the model's."""
    return Tokenizer.train([TEXT] * 3, vocab_size=330, size="at most")


@functools.cache
def pair() -> Pair:
    """Do not change it: all tests share it."""
    torch.manual_seed(0)
    moshi = registry.build("moshi-tiny", **CHANGES).eval()
    codec = registry.build("mimi-tiny").eval()
    assert isinstance(moshi, Moshi)
    assert isinstance(codec, Mimi)
    return Pair(moshi, codec, tokenizer())


def conversations(max_sessions: int = 1, *, sound: bool = True) -> Conversations:
    """With the pair."""
    made = pair()
    return Conversations(made.moshi, made.codec if sound else None, made.tokenizer, max_sessions=max_sessions)


def save_pair(place: Path) -> None:
    """Write zoo folders ``mimi`` and ``moshi``, the second with the first as a parent."""
    shutil.copytree(_saved().name, place, dirs_exist_ok=True)


@functools.cache
def _saved() -> tempfile.TemporaryDirectory:
    made, place = pair(), tempfile.TemporaryDirectory()
    root = Path(place.name)
    spec = registry.to_portable(registry.preset("mimi-tiny"))
    codec = folder.save(root / "mimi", spec, made.codec.state_dict(), stage="test")
    preset = registry.preset("moshi-tiny")
    spec = registry.to_portable({**preset, "init_args": {**preset["init_args"], **CHANGES}})
    parents = [Parent("mimi", codec.sha256)]
    folder.save(root / "moshi", spec, made.moshi.state_dict(), stage="test", parents=parents, tokenizer=made.tokenizer)
    return place
