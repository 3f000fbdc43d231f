"""``data revoice``: dialogues in which Moshi speaks with another voice."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from moshi_zoo.cli.load_codec import load_codec

if TYPE_CHECKING:
    from torch import Tensor


_SHARD = 64  # dialogues
_DESCRIBED = 24  # dialogues from which Moshi's own voice is known


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
    """Let Moshi speak with a person's voice in coded dialogues: pitch and timbre become hers, words and times stay.

    Of two minutes of a voice a small model learns little, and forgets what it knew; of these dialogues it learns the
    voice alone. No transcripts are needed. Where the codec has a semantic codebook beside the acoustic ones, Moshi's
    semantic codes stay, too: they say which words, the others how they sound.

    Args:
        source: a store of coded dialogues with Moshi's voice: what it says itself, `data replay --keep-voice`.
        voice: recordings of the person: a folder, or the manifest of `data scan`; those marked as valid or test are
            left out.
        model: name or folder of the codec that made the dialogues.
        out: the store to write, a folder that is not there yet.
        split: which dialogues.
        limit: the first so many.
        device: where to compute, such as cpu or cuda.
    """
    import torch
    from rich.console import Console
    from rich.progress import Progress

    from moshi_zoo.data.code_store import CodedDialogue, CodeStore, CodeStoreWriter, Entry
    from moshi_zoo.data.revoicing import Revoicing
    from moshi_zoo.modules.quantizer import SplitRVQ

    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; it must be 1 or more")
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty: give another folder")
    dialogues = CodeStore(source)
    loaded = load_codec(model, device)
    if dialogues.codec.sha256 != loaded.config.sha256:
        raise ValueError(f"{source} was made by another codec ({dialogues.codec.name}) than {model}")
    numbers = [i for i, e in enumerate(dialogues.entries) if split in ("all", e.split) and e.channels == 2][:limit]
    if not numbers:
        raise ValueError(f"{source} has no dialogue of two channels with the split {split!r}")
    rate = dialogues.codec.sample_rate
    hers = _recordings(voice, rate)

    @torch.inference_mode()
    def hear(number: int) -> "Tensor":
        codes = dialogues.codes(number)[:1]  # [1, K, T]
        if int(codes.min()) < 0:
            raise ValueError(f"{source} does not hold Moshi's voice: replay with --keep-voice")
        return loaded.net.decode(codes.to(device))[0, 0].cpu()  # [S]

    revoicing = Revoicing([hear(number) for number in numbers[:_DESCRIBED]], hers, rate)

    @torch.inference_mode()
    def spoken_anew(number: int) -> "Tensor":
        wav = revoicing(hear(number))
        return loaded.net.encode(wav[None, None].to(device), dialogues.codec.num_codebooks)[0].cpu()  # [K, T]

    kept = 1 if isinstance(loaded.net.quantizer, SplitRVQ) else 0
    writer = CodeStoreWriter(out, dialogues.codec)
    console = Console(stderr=True)
    shard = []
    with Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        for number in progress.track(numbers, description="revoicing"):
            codes, entry = dialogues.codes(number), dialogues.entries[number]
            codes[0, kept:] = spoken_anew(number)[kept:]
            entry = Entry(entry.path, entry.bytes, 2, entry.num_frames, entry.split, entry.num_words)
            shard.append(CodedDialogue(entry, codes, dialogues.words(number), dialogues.about(number)))
            if len(shard) == _SHARD or number == numbers[-1]:
                writer.write_shard(shard)
                shard = []
    seconds = sum(map(len, hers)) / rate
    print(f"{out}: {len(numbers)} dialogues in the voice of {len(hers)} recordings ({seconds:.0f} s) in {voice}")


def _recordings(source: str, sample_rate: int) -> "list[Tensor]":
    """What may be learnt of the person's recordings, [S] each."""
    from moshi_zoo.data import audio
    from moshi_zoo.data.manifest import find

    paths = [recording.path for recording in find(source) if recording.split in (None, "train")]
    if not paths:
        raise ValueError(f"{source} has no recordings to train on: all are marked as valid or test")
    return [audio.load(path, sample_rate, channels=1)[0] for path in paths]
