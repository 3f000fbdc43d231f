"""The verbs ``encode`` and ``decode``: audio files to codes and back, in constant memory.

Both stream with the codec's explicit state, a few seconds at a time; each channel of a file is a row of the batch. Only
the codes of the whole file are held (an hour of 8 codebooks is under a megabyte).
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moshi_zoo.cli.load_codec import load_codec

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from moshi_zoo.models.mimi import Mimi


_BLOCK_FRAMES = 50  # 4 s


def encode(wav: Path, *, model: str, out: Path, num_codebooks: int | None = None, device: str = "cpu") -> None:
    """Turn an audio file into codes.

    The file written holds a tensor `codes`, int16 [channels, codebooks, frames]; its metadata are model, sample_rate,
    frame_rate and num_samples.

    Args:
        wav: wav, flac, mp3 or ogg, at any sample rate, with any number of channels.
        model: name or folder of a codec.
        out: the safetensors file to write.
        num_codebooks: codes a frame; all the codec has, if not given.
        device: where to compute, such as cpu or cuda.
    """
    import torch
    from safetensors.torch import save_file

    from moshi_zoo.data import audio

    loaded = load_codec(model, device)
    codec = loaded.net
    info = audio.probe(wav)
    state = codec.init_state(info.channels, max_frames=_BLOCK_FRAMES)
    blocks, num_samples = [], 0
    seconds = _BLOCK_FRAMES * codec.frame_size / codec.sample_rate
    with _progress("encoding", info.duration) as advance, torch.inference_mode():
        for block in audio.stream(wav, codec.sample_rate, block_seconds=seconds):  # [C, S]
            num_samples += block.shape[-1]
            missing = -block.shape[-1] % codec.frame_size  # only in the last block
            frames = torch.nn.functional.pad(block.to(device), (0, missing))[:, None]  # [C, 1, S]
            blocks.append(codec.encode(frames, num_codebooks, state=state.encoder).to("cpu", torch.int16))
            advance(block.shape[-1] / codec.sample_rate)
    codes = torch.cat(blocks, dim=-1)  # [C, K, T]
    metadata = {
        "model": model,
        "model_sha256": loaded.config.sha256,
        "sample_rate": str(codec.sample_rate),
        "frame_rate": str(codec.frame_rate),
        "num_samples": str(num_samples),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file({"codes": codes}, out, metadata)
    channels, K, T = codes.shape
    print(f"{out}: {channels} channel(s), {K} codebooks, {T} frames ({num_samples / codec.sample_rate:.2f} s)")


def decode(codes: Path, *, model: str, out: Path, device: str = "cpu") -> None:
    """Turn codes into an audio file.

    Args:
        codes: a safetensors file written by `encode`.
        model: name or folder of the codec that made the codes.
        out: the wav, flac, ogg or mp3 file to write.
        device: where to compute, such as cpu or cuda.
    """
    import torch

    from moshi_zoo.data import audio

    loaded = load_codec(model, device)
    codec = loaded.net
    tensor, metadata = _read_codes(codes)
    _check_codes(codec, codes, tensor, metadata)
    if metadata.get("model_sha256", loaded.config.sha256) != loaded.config.sha256:
        print(f"note: the codes were made by another model, {metadata.get('model')}", file=sys.stderr)
    channels, _, T = tensor.shape
    num_samples = left = int(metadata.get("num_samples", T * codec.frame_size))
    state = codec.init_state(channels, max_frames=_BLOCK_FRAMES)
    out.parent.mkdir(parents=True, exist_ok=True)
    with (
        audio.Writer(out, codec.sample_rate, channels) as writer,
        _progress("decoding", T / codec.frame_rate) as advance,
        torch.inference_mode(),
    ):
        for block in tensor.split(_BLOCK_FRAMES, dim=-1):
            wav = codec.decode(block.to(device, torch.int64), state=state.decoder)[:, 0, :left]  # [C, S]
            writer.write(wav)
            left -= wav.shape[-1]
            advance(block.shape[-1] / codec.frame_rate)
    print(f"{out}: {channels} channel(s), {num_samples / codec.sample_rate:.2f} s at {codec.sample_rate} Hz")


def _read_codes(path: Path) -> "tuple[torch.Tensor, dict[str, str]]":
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            if "codes" not in file.keys():  # noqa: SIM118 - not a mapping
                raise ValueError(
                    f"{path} has no tensor called 'codes' (but {', '.join(file.keys())}); was it made by encode?"
                )
            return file.get_tensor("codes"), dict(file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file ({error}); decode reads what encode writes") from error


def _check_codes(codec: "Mimi", path: Path, codes: "torch.Tensor", metadata: dict[str, str]) -> None:
    if codes.ndim != 3 or not codes.numel() or codes.is_floating_point():
        raise ValueError(
            f"{path}: codes are {codes.dtype} {list(codes.shape)}, not integers [channels, codebooks, frames]"
        )
    _, K, T = codes.shape
    if codec.num_codebooks < K:
        raise ValueError(
            f"{path} has {K} codebooks, this codec only {codec.num_codebooks}; decode with the codec that made it"
        )
    low, high = int(codes.min()), int(codes.max())
    if low < 0 or high >= codec.codebook_size:
        raise ValueError(
            f"{path} has codes from {low} to {high}, this codec's go from 0 to {codec.codebook_size - 1}; "
            "decode with the codec that made it"
        )
    for name in ("sample_rate", "frame_rate"):
        if name in metadata and float(metadata[name]) != getattr(codec, name):
            raise ValueError(
                f"{path} was made at a {name} of {metadata[name]}, this codec has {getattr(codec, name)}; "
                "decode with the codec that made it"
            )
    num_samples = int(metadata.get("num_samples", T * codec.frame_size))
    if not 0 < num_samples <= T * codec.frame_size:
        raise ValueError(f"{path} says it has {num_samples} samples, its {T} frames hold {T * codec.frame_size}")


@contextmanager
def _progress(what: str, seconds: float) -> "Iterator[Callable[[float], Any]]":
    """A bar on a terminal; nothing elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task(what, total=seconds)
        yield lambda done: progress.advance(task, done)
