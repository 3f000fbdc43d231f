"""``data revoice``: dialogues in which Moshi speaks with another voice."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from moshi_zoo.cli.load_codec import load_codec

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from moshi_zoo.data.code_store import CodeStore

_SHARD = 64  # dialogues, whose sounds are described together, as those of one voice


def revoice(
    source: str,
    *,
    voice: str,
    model: str,
    out: Path,
    split: Literal["train", "valid", "test", "all"] = "all",
    limit: int | None = None,
    device: str = "cpu",
) -> None:
    """Replace the frames of Moshi's voice in coded dialogues by those of a person that sound most like them.

    Of a few minutes of a voice a small model learns little; of these dialogues it learns the voice, and at the same
    time keeps what it says and when. No transcripts are needed.

    Args:
        source: a store of coded dialogues with Moshi's voice, such as one made by `data replay --keep-voice`.
        voice: a store of the person's recordings, `data encode --view monologue --copies 6`.
        model: name or folder of the codec that made both.
        out: the store to write, a folder that is not there yet.
        split: which dialogues.
        limit: the first so many.
        device: where to compute, such as cpu or cuda.
    """
    from rich.console import Console
    from rich.progress import Progress

    from moshi_zoo.data import revoicing
    from moshi_zoo.data.code_store import CodedDialogue, CodeStore, CodeStoreWriter, Entry

    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; it must be 1 or more")
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty: give another folder")
    dialogues, recordings = CodeStore(source), CodeStore(voice)
    decode = _decoder(dialogues, recordings, model, device)
    codec = dialogues.codec
    numbers = [i for i, e in enumerate(dialogues.entries) if split in ("all", e.split) and e.channels == 2][:limit]
    if not numbers:
        raise ValueError(f"{source} has no dialogue of two channels with the split {split!r}")
    hers = [recordings.codes(i)[0] for i, entry in enumerate(recordings.entries) if entry.split in (None, "train")]
    if not hers:
        raise ValueError(f"{voice} has no recordings to train on")
    described = revoicing.sounds([decode(codes) for codes in hers], codec.sample_rate, codec.frame_size)
    units = revoicing.units(described, hers)
    writer = CodeStoreWriter(out, codec)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("revoicing", total=len(numbers))
        for first in range(0, len(numbers), _SHARD):
            batch = numbers[first : first + _SHARD]
            codes = [dialogues.codes(number) for number in batch]
            if any(int(own[0].min()) < 0 for own in codes):
                raise ValueError(f"{source} does not hold Moshi's voice: replay with --keep-voice")
            own = revoicing.sounds([decode(one[0]) for one in codes], codec.sample_rate, codec.frame_size)
            shard = []
            for number, one, sound in zip(batch, codes, own, strict=True):
                one[0] = revoicing.revoiced(sound, one[0], units)
                entry, words = dialogues.entries[number], dialogues.words(number)
                entry = Entry(entry.path, entry.bytes, 2, one.shape[-1], entry.split, entry.num_words)
                shard.append(CodedDialogue(entry, one, words, dialogues.about(number)))
                progress.advance(task)
            writer.write_shard(shard)
    print(f"{out}: {len(numbers)} dialogues in the voice of {voice}, from {units.codes.shape[1]} frames of it")


def _decoder(dialogues: "CodeStore", recordings: "CodeStore", model: str, device: str) -> "Callable[[Tensor], Tensor]":
    """Codes [K, T] -> waveform [S]."""
    import torch

    loaded = load_codec(model, device)
    for store in (dialogues, recordings):
        if store.codec.sha256 != loaded.config.sha256:
            raise ValueError(f"{store.folder} was made by another codec ({store.codec.name}) than {model}")

    @torch.inference_mode()
    def decode(codes: "Tensor") -> "Tensor":
        return loaded.net.decode(codes[None].clamp(min=0).to(device))[0, 0].cpu()

    return decode
