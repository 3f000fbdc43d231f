"""``data encode``: dialogues become codes once, and not again in each epoch."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from moshi_zoo.cli.load_codec import load_codec

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from moshi_zoo.cli.load_codec import LoadedCodec
    from moshi_zoo.data.code_encoding import Start
    from moshi_zoo.data.code_store import CodecIdentity

_SHOWN = 5  # of the files that cannot be used


def encode(
    source: str,
    *,
    model: str,
    out: Path,
    view: Literal["recorded", "mono", "duplex", "monologue"] = "recorded",
    copies: int = 1,
    num_codebooks: int | None = None,
    batch_size: int = 8,
    device: str = "cpu",
    max_bad_share: float = 0.1,
) -> None:
    """Encode dialogues into a store that `fit` trains Moshi on.

    Files stream through the codec, so that the codes are those of a live conversation. What the store has already is
    not encoded again: a run that was stopped goes on, and more files can be added.

    Args:
        source: a manifest.jsonl, or a folder, in moshi-finetune's format: stereo files, channel 0 Moshi and channel 1
            the user, with the words in a .json beside each; or files with one channel.
        model: name or folder of a codec.
        out: the store, a folder. It remembers its codec, and refuses the codes of another.
        view: encode the channels as they are (recorded); all of them mixed into one, for pre-training on a single
            stream (mono); or, of recordings whose words have speakers, one of these, drawn by lot, as Moshi, and all
            else as the user, as the paper simulates conversations (duplex); or one person's recordings as Moshi, who
            talks to somebody silent (monologue).
        copies: encode each file so many times, each from another fraction of a frame on; of a few minutes of a voice, a
            model learns more so.
        num_codebooks: codes a frame; all the codec has, if not given.
        batch_size: files that go through the codec at a time.
        device: where to compute, such as cpu or cuda.
        max_bad_share: share of the files that may be bad; they are listed in OUT/bad_files.jsonl.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it must be 1 or more")
    if copies < 1:
        raise ValueError(f"copies is {copies}; it must be 1 or more")

    from rich.console import Console
    from rich.progress import Progress

    from moshi_zoo.data.alignments import find_dialogues
    from moshi_zoo.data.code_encoding import EncodingReport, encode_dialogues
    from moshi_zoo.data.code_store import CodeStoreWriter
    from moshi_zoo.data.survey import BadFiles

    recordings = find_dialogues(source)
    loaded = load_codec(model, device)
    identity = identity_of(loaded, model, num_codebooks)
    writer = CodeStoreWriter(out, identity)
    bad = BadFiles(len(recordings), max_bad_share, out / "bad_files.jsonl")
    report = EncodingReport()
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("encoding", total=copies * len(recordings))
        start = streams(loaded, identity.num_codebooks, device)
        for report in encode_dialogues(recordings, writer, start, view=view, copies=copies, batch_size=batch_size):
            bad.add(report.bad)
            progress.update(task, completed=report.encoded + report.known + len(report.bad))
    before = f", {report.known} were there" if report.known else ""
    print(
        f"{out}: {report.encoded} dialogues ({report.seconds / 60:.1f} min) encoded{before}; "
        f"{identity.num_codebooks} codebooks of {identity.codebook_size} at {identity.frame_rate:g} Hz"
    )


def identity_of(loaded: "LoadedCodec", name: str, num_codebooks: int | None) -> "CodecIdentity":
    """What a store remembers of a codec."""
    from moshi_zoo.data.code_store import CodecIdentity

    net = loaded.net
    if num_codebooks is not None and not 1 <= num_codebooks <= net.num_codebooks:
        raise ValueError(f"num_codebooks is {num_codebooks}, but {name} has {net.num_codebooks}: take 1 to that many")
    return CodecIdentity(
        name=name,
        sha256=loaded.config.sha256,
        sample_rate=net.sample_rate,
        frame_rate=net.frame_rate,
        num_codebooks=num_codebooks or net.num_codebooks,
        codebook_size=net.codebook_size,
    )


def streams(loaded: "LoadedCodec", num_codebooks: int, device: str) -> "Start":
    """The codec as a function that encodes block after block."""
    import torch

    from moshi_zoo.data.code_encoding import BLOCK_FRAMES

    codec = loaded.net

    def start(batch_size: int) -> "Callable[[torch.Tensor], torch.Tensor]":
        state = codec.init_state(batch_size, max_frames=BLOCK_FRAMES)

        @torch.inference_mode()
        def encode_block(wav: torch.Tensor) -> torch.Tensor:
            return codec.encode(wav.to(device), num_codebooks, state=state.encoder)

        return encode_block

    return start
