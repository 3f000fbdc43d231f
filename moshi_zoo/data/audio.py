"""Audio files in and out: soundfile for the formats, soxr for the sample rates. Only what is asked for is decoded."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, gcd
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor

from moshi_zoo.data.decode import AudioError, opened, read_between

SUFFIXES = frozenset(
    {".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".au", ".caf", ".w64", ".rf64"}
)
"""Formats that are read as they are."""

_SUBTYPES = {".wav": "PCM_16", ".flac": "PCM_16", ".ogg": "VORBIS", ".mp3": "MPEG_LAYER_III"}
_FILTER_REACH = 160  # samples at the lower rate: beyond them the HQ resampling filter is below 1e-7 (measured)
_WRITE_BLOCK = 1 << 16  # samples: libsndfile's Vorbis encoder overflows its stack on much longer writes


@dataclass(frozen=True)
class AudioInfo:
    """What the header of an audio file says; ``duration`` in seconds, ``num_samples`` per channel."""

    sample_rate: int
    channels: int
    num_samples: int
    duration: float


def probe(path: str | Path) -> AudioInfo:
    """Read the header of a file.

    Raises:
        AudioError: if there is no such file, it is not audio, or it holds no samples.
    """
    with opened(path) as file:
        return AudioInfo(file.samplerate, file.channels, file.frames, file.frames / file.samplerate)


def read(path: str | Path, start: int = 0, num_samples: int | None = None) -> tuple[Tensor, int]:
    """Read a window of a file at its own sample rate, and only that window.

    Args:
        path: The file.
        start: First sample.
        num_samples: Length of the window; fewer are returned where the file ends before. None: to the end.

    Returns:
        float32 [C, S] and the sample rate in Hz.

    Raises:
        AudioError: if the file is not audio, is corrupt or cut off, or if ``start`` lies outside of it.
    """
    with opened(path) as file:
        if not 0 <= start < file.frames:
            raise _outside(path, file.frames / file.samplerate, start / file.samplerate)
        stop = file.frames if num_samples is None else min(start + num_samples, file.frames)
        samples = read_between(file, start, stop, path)
        if len(samples) == 0:
            raise _outside(path, file.frames / file.samplerate, start / file.samplerate)
        return _to_tensor(samples), file.samplerate


def load(
    path: str | Path,
    sample_rate: int,
    *,
    channels: int | None = None,
    start_s: float = 0.0,
    seconds: float | None = None,
) -> Tensor:
    """Read a window of a file at the sample rate and channel count you need.

    The window is cut from the same sample grid as the whole resampled file, with enough of its neighbourhood for the
    resampling filter: ``load(..., start_s, seconds)`` is a slice of ``load(...)``.

    Args:
        path: The file.
        sample_rate: Wanted rate in Hz.
        channels: Wanted channels: 1 mixes down; None keeps what is there; other counts must match the file.
        start_s: Start of the window in seconds.
        seconds: Length of the window; it is shorter where the file ends before. None: to the end.

    Returns:
        float32 [C, S].

    Raises:
        AudioError: if the file cannot be used, or has the wrong number of channels.
    """
    with opened(path) as file:
        step = gcd(file.samplerate, sample_rate)
        step_in, step_out = file.samplerate // step, sample_rate // step  # the two sample grids meet at these steps
        reach = 0 if step_in == step_out else ceil(_FILTER_REACH / min(step_in, step_out))

        start, whole = round(start_s * sample_rate), _round_half_up(file.frames * step_out, step_in)
        stop = whole if seconds is None else min(start + round(seconds * sample_rate), whole)
        if not 0 <= start < whole:
            raise _outside(path, file.frames / file.samplerate, start_s)

        first, last = max(start // step_out - reach, 0), ceil(stop / step_out) + reach
        samples = read_between(file, first * step_in, min(last * step_in, file.frames), path)  # [S, C]
        samples = _with_channels(samples, channels, path)
        if step_in != step_out:
            samples = soxr.resample(samples, file.samplerate, sample_rate, quality="HQ")
        offset = first * step_out
        window = samples[start - offset : stop - offset]
        if len(window) == 0:
            raise _outside(path, file.frames / file.samplerate, start_s)
        return _to_tensor(window)


def stream(path: str | Path, sample_rate: int, *, block_seconds: float = 10.0) -> Iterator[Tensor]:
    """Read a file of any length in constant memory, resampled.

    The blocks joined are what :func:`load` returns.

    Args:
        path: The file.
        sample_rate: Wanted rate in Hz.
        block_seconds: Length of the blocks.

    Yields:
        float32 [C, S] with S = ``block_seconds * sample_rate``; the last one may be shorter.

    Raises:
        AudioError: if the file cannot be used.
    """
    size = round(block_seconds * sample_rate)
    if size < 1:
        raise ValueError(f"block_seconds is {block_seconds}: at {sample_rate} Hz this is less than one sample")
    with opened(path) as file:
        same_rate = file.samplerate == sample_rate
        resampler = soxr.ResampleStream(file.samplerate, sample_rate, file.channels, dtype="float32", quality="HQ")
        pending = np.zeros((0, file.channels), np.float32)  # [S, C]
        for start in range(0, file.frames, block := max(round(block_seconds * file.samplerate), 1)):
            samples = read_between(file, start, min(start + block, file.frames), path)
            last = start + block >= file.frames or len(samples) < block
            ready = samples if same_rate else resampler.resample_chunk(samples, last=last)
            pending = np.concatenate([pending, ready])
            while len(pending) >= size:
                yield _to_tensor(pending[:size])
                pending = pending[size:]
            if last:
                break
        if len(pending):
            yield _to_tensor(pending)


class Writer:
    """Write an audio file block by block: ``with Writer("x.flac", 24000) as out: out.write(wav)``.

    wav and flac hold 16-bit samples, ogg Vorbis, mp3 MPEG layer 3; the suffix decides. Samples outside of [-1, 1] are
    clipped.

    Args:
        path: The file; an existing one is replaced.
        sample_rate: In Hz.
        channels: Number of channels.

    Raises:
        AudioError: if the suffix is not one of the four, or the format cannot hold this rate or channel count.
    """

    def __init__(self, path: str | Path, sample_rate: int, channels: int = 1):
        self.path, self.channels = Path(path), channels
        subtype = _SUBTYPES.get(self.path.suffix.lower())
        if subtype is None:
            problem = f"cannot write {self.path.suffix or 'a file without suffix'}"
            raise AudioError(path, problem, f"use one of {', '.join(_SUBTYPES)}")
        if not self.path.parent.is_dir():
            raise AudioError(path, "its folder does not exist", f"make it first: mkdir -p {self.path.parent}")
        try:
            self._file = soundfile.SoundFile(self.path, "w", sample_rate, channels, subtype)
        except soundfile.SoundFileError as error:
            problem = f"{self.path.suffix} cannot hold {channels} channels at {sample_rate} Hz ({error})"
            raise AudioError(path, problem, "use .wav or .flac") from error

    def write(self, wav: Tensor) -> None:
        """Append a block: float [C, S]."""
        if wav.ndim != 2 or wav.shape[0] != self.channels:
            raise ValueError(f"{self.path} needs blocks [{self.channels}, S], got {list(wav.shape)}")
        samples = wav.detach().clamp(-1, 1).float().cpu().T.numpy()
        for begin in range(0, len(samples), _WRITE_BLOCK):
            self._file.write(samples[begin : begin + _WRITE_BLOCK])

    def close(self) -> None:
        """Finish the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def save(path: str | Path, wav: Tensor, sample_rate: int) -> None:
    """Write float [C, S] to a file; see :class:`Writer`."""
    with Writer(path, sample_rate, wav.shape[0]) as out:
        out.write(wav)


def _with_channels(samples: np.ndarray, channels: int | None, path: str | Path) -> np.ndarray:
    if channels is None or channels == samples.shape[1]:
        return samples
    if channels == 1:
        return samples.mean(axis=1, keepdims=True)
    problem = f"has {samples.shape[1]} channels, {channels} are needed"
    raise AudioError(path, problem, "record each speaker in a channel of their own")


def _to_tensor(samples: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(samples.T))  # [S, C] -> [C, S]


def _round_half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)  # as soxr rounds the length of its result


def _outside(path: str | Path, seconds: float, start_s: float) -> AudioError:
    return AudioError(
        path, f"is {seconds:.3f} s long, nothing is at {start_s:.3f} s", "ask for a window inside the file"
    )
