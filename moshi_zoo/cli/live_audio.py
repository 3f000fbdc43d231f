"""Sound that is still coming in: from standard input or a microphone, in frames at the rate of a codec."""

import queue
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

_RAW = "<i2"  # what `arecord -t raw -f S16_LE` and `ffmpeg -f s16le` write
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_DTYPES = {(_PCM, 16): "<i2", (_PCM, 32): "<i4", (_FLOAT, 32): "<f4"}
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)  # of a wav file that is written into a pipe
_MOST_CHANNELS, _LONGEST_CHUNK = 64, 1 << 20


@dataclass(frozen=True)
class _Format:
    """Of samples: NumPy's name of their type, channels, rate in Hz, and how many bytes they have at most."""

    dtype: str
    channels: int
    sample_rate: int
    num_bytes: int = sys.maxsize


def piped_frames(
    source: BinaryIO, sample_rate: int, frame_size: int, *, raw_rate: int
) -> Iterator[NDArray[np.float32]]:
    """Frames [frame_size] of what comes through a pipe, as soon as they are there; the last is padded with silence.

    Args:
        source: a wav file of 16 or 32 bits (its length need not be known), or bare samples: 16 bits, one channel.
        sample_rate: wanted.
        frame_size: wanted.
        raw_rate: of bare samples, in Hz.

    Raises:
        ValueError: if it is a wav file that cannot be used.
    """
    start = source.read(12)
    is_wav = start[:4] == b"RIFF" and start[8:] == b"WAVE"
    layout = _header(source) if is_wav else _Format(_RAW, 1, raw_rate)
    blocks = _blocks(source, layout, frame_size / sample_rate, b"" if is_wav else start)
    yield from _framed(blocks, layout.sample_rate, sample_rate, frame_size)


def microphone_frames(sample_rate: int, frame_size: int) -> Iterator[NDArray[np.float32]]:
    """Frames [frame_size] from the default microphone, for ever.

    Raises:
        ValueError: if the package for it is not there, or no microphone.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: it finds no PortAudio
        raise ValueError(
            f"--microphone needs the package sounddevice and the library PortAudio ({error}): pip install sounddevice, "
            "or pipe a recorder in: arecord -t raw -f S16_LE -r 24000 | ... transcribe -"
        ) from error
    heard: queue.Queue[NDArray[np.float32]] = queue.Queue()
    try:
        with sounddevice.InputStream(
            samplerate=sample_rate,
            blocksize=frame_size,
            channels=1,
            dtype="float32",
            callback=lambda block, *_: heard.put(block[:, 0].copy()),
        ):
            while True:
                yield heard.get()
    except sounddevice.PortAudioError as error:
        raise ValueError(f"the microphone cannot be used: {error}") from error


def frames_of_blocks(blocks: "Iterator[Tensor]", frame_size: int) -> Iterator[NDArray[np.float32]]:
    """Frames of a file that is read block by block [C, S]; channels are mixed."""
    return _framed((block.mean(0).numpy() for block in blocks), 1, 1, frame_size)


def _framed(
    blocks: Iterator[NDArray[np.float32]], given_rate: int, wanted_rate: int, frame_size: int
) -> Iterator[NDArray[np.float32]]:
    import soxr

    resampler = soxr.ResampleStream(given_rate, wanted_rate, 1) if given_rate != wanted_rate else None
    pending = np.zeros(0, np.float32)
    for block in blocks:
        pending = np.concatenate([pending, resampler.resample_chunk(block) if resampler else block])
        while len(pending) >= frame_size:
            yield pending[:frame_size]
            pending = pending[frame_size:]
    if resampler:
        pending = np.concatenate([pending, resampler.resample_chunk(np.zeros(0, np.float32), last=True)])
    for begin in range(0, len(pending), frame_size):
        frame = pending[begin : begin + frame_size]
        yield np.pad(frame, (0, frame_size - len(frame)))


def _blocks(source: BinaryIO, layout: _Format, seconds: float, start: bytes) -> Iterator[NDArray[np.float32]]:
    """Samples [S] of a frame at a time, those in ``start`` before all others; channels are mixed."""
    dtype = np.dtype(layout.dtype)
    width = dtype.itemsize * layout.channels
    scale = np.float32(1 if dtype.kind == "f" else 2.0 ** (1 - 8 * dtype.itemsize))
    block, left = max(round(seconds * layout.sample_rate), 1) * width, layout.num_bytes
    while data := start + source.read(min(block, left) - len(start)):
        start, left = b"", left - len(data)
        samples = np.frombuffer(data[: len(data) // width * width], dtype).reshape(-1, layout.channels)
        yield (samples.astype(np.float32) * scale).mean(axis=1)


def _header(source: BinaryIO) -> _Format:
    """Read up to the samples of a wav file."""
    layout = None
    while True:
        name, size = _unpacked("<4sI", source.read(8))
        if name == b"data":
            break
        if size > _LONGEST_CHUNK:
            raise ValueError(f"standard input: a wav file with {size} bytes before its sound")
        chunk = source.read(size + size % 2)
        if name == b"fmt ":
            kind, channels, rate, _, _, bits = _unpacked("<HHIIHH", chunk[:16])
            if kind == _EXTENSIBLE:
                (kind,) = _unpacked("<H", chunk[24:26])
            if (kind, bits) not in _DTYPES or not 1 <= channels <= _MOST_CHANNELS or not rate:
                raise ValueError(
                    f"standard input: a wav file of {channels} channels, {rate} Hz and {bits} bits (format {kind}); "
                    "16 bits, 32 bits and 32-bit floats can be read from a pipe"
                )
            layout = _Format(_DTYPES[kind, bits], channels, rate)
    if layout is None:
        raise ValueError("standard input: a wav file that does not say what its samples are")
    return replace(layout, num_bytes=size) if size not in _UNKNOWN_SIZES else layout


def _unpacked(layout: str, data: bytes) -> tuple:
    if len(data) != struct.calcsize(layout):
        raise ValueError("standard input: a wav file that ends in its header")
    return struct.unpack(layout, data)
