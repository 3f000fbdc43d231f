"""A tiny Moshi with its codec, and coded dialogues with turns, all made of chance."""

import functools
from itertools import islice
from pathlib import Path

import torch

from moshi_zoo import registry
from moshi_zoo.data.alignments import MAIN, OTHER, Word
from moshi_zoo.data.code_store import CodecIdentity, CodedDialogue, CodeStoreWriter, Entry
from moshi_zoo.data.dialogues import dialogues
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.zoo import folder
from moshi_zoo.zoo.config import Parent, read_config
from tests.cli.codecs import tiny_codec

FRAMES = 40


@functools.cache
def tokenizer() -> Tokenizer:
    """Of the embedded dialogues."""
    return Tokenizer.train((d.text for d in islice(dialogues(), 100)), vocab_size=330)


def tiny_moshi(place: Path, codec: Path) -> None:
    """Put a zoo folder with a `moshi-tiny`, whose parent is the codec, at a place."""
    spec = registry.preset("moshi-tiny")
    spec["init_args"]["vocab_size"] = tokenizer().vocab_size
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = registry.instantiate(spec)
    parents = (Parent(str(codec), read_config(codec).sha256),)
    folder.save(
        place, registry.to_portable(spec), net.state_dict(), stage="test", tokenizer=tokenizer(), parents=parents
    )


def store(place: Path, codec: Path, *, count: int = 4) -> None:
    """Put dialogues of an exchange each at a place; in the last, the user says nothing."""
    net = tiny_codec(codec) if not codec.exists() else None
    del net
    identity = CodecIdentity(str(codec), read_config(codec).sha256, 24_000, 12.5, num_codebooks=4, codebook_size=32)
    generator = torch.Generator().manual_seed(0)
    coded = []
    for i in range(count):
        silent = i == count - 1
        words = [Word("two", 0.5, 0.8, OTHER), Word("nine", 0.8, 1.1, OTHER), Word("two", 1.4, 1.7, MAIN)]
        words = [] if silent else [*words, Word("nine", 1.7, 2.0, MAIN)]
        turns = [
            _turn("user", "" if silent else "two nine", 0.5, 1.1, None),
            _turn("moshi", "" if silent else "two nine", 1.4, 2.0, "" if silent else "two nine"),
        ]
        about = {
            "family": "silence" if silent else "echo",
            "voices": {"moshi": "en-us+f2", "user": f"voice {i % 2}"},
            "turns": turns,
        }
        codes = torch.randint(32, (2, 4, FRAMES), generator=generator)
        entry = Entry(f"valid/{i}", 0, 2, FRAMES, "valid", len(words))
        coded.append(CodedDialogue(entry, codes, words, about))
    CodeStoreWriter(place, identity).write_shard(coded)


def _turn(speaker: str, text: str, start_s: float, end_s: float, expected: str | None) -> dict:
    return {
        "speaker": speaker,
        "text": text,
        "overlap": "none",
        "pause_s": 0.0,
        "expected": expected,
        "start_s": start_s,
        "end_s": end_s,
    }
