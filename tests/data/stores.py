"""Stores of codes to test with: random codes, known words, no codec."""

from pathlib import Path

import torch

from moshi_zoo.data.alignments import MAIN, OTHER, Word
from moshi_zoo.data.code_store import CodecIdentity, CodedDialogue, CodeStoreWriter, Entry

CODEC = CodecIdentity("tiny", "a" * 64, 24_000, 12.5, num_codebooks=4, codebook_size=32)
WORDS = [Word("hello", 0.1, 0.5, MAIN), Word("moshi", 0.2, 0.4, OTHER), Word("there", 0.8, 1.2, MAIN)]


def make_store(
    folder: Path,
    lengths: dict[str, int],
    *,
    codec: CodecIdentity = CODEC,
    channels: int = 2,
    splits: dict[str, str] | None = None,
    words: list[Word] | None = WORDS,
) -> Path:
    """A store of dialogues with so many frames; the first code of frame t is t % 32."""
    generator = torch.Generator().manual_seed(0)
    dialogues = []
    for name, frames in lengths.items():
        codes = torch.randint(codec.codebook_size, (channels, codec.num_codebooks, frames), generator=generator)
        codes[:, 0] = torch.arange(frames) % codec.codebook_size
        split = (splits or {}).get(name)
        entry = Entry(name, 0, channels, frames, split, None if words is None else len(words))
        dialogues.append(CodedDialogue(entry, codes, words))
    CodeStoreWriter(folder, codec).write_shard(dialogues)
    return folder
