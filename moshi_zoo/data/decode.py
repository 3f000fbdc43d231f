"""Opening audio files and reading exact samples: what soundfile does, with the mistakes of libsndfile 1.2.2 avoided."""

import os
import re
import threading
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import soundfile

FOREIGN_SUFFIXES = frozenset({".m4a", ".m4b", ".mp4", ".aac", ".wma", ".webm", ".mka", ".mkv", ".mov", ".amr", ".3gp"})
"""Audio that needs ffmpeg first: found in a folder, it is reported, not passed over."""

_MP3_RESERVOIR = 16 * 1152  # samples: the bits of a frame reach back 511 bytes, at 8 kbit/s that is 11 frames
_OGG_PAGE = 65_307  # bytes, at most
_LONGEST_HOURS = 10_000  # a header that promises more does not know its length
_stderr = threading.Lock()  # who holds it may redirect file descriptor 2


class AudioError(ValueError):
    """A file that cannot be used as audio.

    Args:
        path: The file.
        problem: What is wrong with it.
        fix: What the user can do about it.
    """

    def __init__(self, path: str | Path, problem: str, fix: str):
        super().__init__(path, problem, fix)  # all three, so that it survives pickling on the way out of a worker
        self.path, self.problem, self.fix = Path(path), problem, fix

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}; {self.fix}"


@contextmanager
def opened(path: str | Path) -> Generator[soundfile.SoundFile, None, None]:
    """Open a file to read.

    Raises:
        AudioError: if there is no such file, it is not audio, or it holds no samples; also if soundfile fails later on.
    """
    path = Path(path)
    if not path.is_file():
        raise AudioError(path, "is a folder" if path.is_dir() else "no such file", "check the path")
    if path.stat().st_size == 0:
        raise AudioError(path, "is empty (0 bytes)", "remove it or record it again")
    try:
        with _File(path) as file:
            if file.frames == 0:
                raise AudioError(path, "is empty (a header without samples)", "remove it or record it again")
            if file.frames / file.samplerate > _LONGEST_HOURS * 3600:
                raise AudioError(path, "its header does not say how long it is", _rewrite(path))
            yield file
    except soundfile.SoundFileError as error:
        if path.suffix.lower() in FOREIGN_SUFFIXES:
            problem, fix = f"{path.suffix} is not read directly", f"convert it: ffmpeg -i {path.name} {path.stem}.flac"
        else:
            problem, fix = f"is not audio, or is corrupt ({_reason(error)})", _rewrite(path)
        raise AudioError(path, problem, fix) from error


def read_between(file: soundfile.SoundFile, start: int, stop: int, path: str | Path) -> np.ndarray:
    """The samples from ``start`` up to ``stop``: float32 [S, C], exactly those that reading the whole file gives.

    Only an mp3 may return fewer: one of variable bit rate without a length in its header can only be guessed at.

    Raises:
        AudioError: if the file ends early, or holds values that are not numbers.
    """
    here = file.tell()
    target = start if here == start else _place_to_seek(start, file, path)
    with nullcontext() if target == start else _silenced():
        if here != start:
            file.seek(target)
        samples = file.read(stop - target, dtype="float32", always_2d=True)[start - target :]
    if len(samples) < stop - start and file.format != "MP3":
        problem = f"is cut off or corrupt: only {len(samples)} of the {stop - start} samples after {start} can be read"
        raise AudioError(path, problem, _rewrite(path))
    if not np.isfinite(samples).all():
        raise AudioError(path, "holds values that are not numbers (NaN or infinity)", "write it again from its source")
    return samples


class _File(soundfile.SoundFile):
    """A file that is left where a read ends: soundfile would seek there again, and in mp3 that is not exact."""

    def seekable(self) -> bool:
        return False


def _place_to_seek(start: int, file: soundfile.SoundFile, path: str | Path) -> int:
    """Where to seek to for exact samples from ``start`` on: libsndfile 1.2.2 does not always land where it should."""
    if file.format == "MP3":  # a frame may need bits that were sent with frames before it
        return max(start - _MP3_RESERVOIR, 0)
    if file.subtype == "VORBIS":  # inside of the last page it lands some milliseconds late
        return min(start, _last_page(Path(path)))
    return start


def _last_page(ogg: Path) -> int:
    """The sample with which the last page of an Ogg file begins."""
    with ogg.open("rb") as file:
        file.seek(max(-2 * _OGG_PAGE, -ogg.stat().st_size), os.SEEK_END)
        tail = file.read()
    ends = [int.from_bytes(tail[page.start() + 6 : page.start() + 14], "little") for page in re.finditer(b"OggS", tail)]
    ends = [end for end in ends if end < 1 << 63]  # -1: no packet ends in this page
    return ends[-2] if len(ends) > 1 else 0


@contextmanager
def _silenced() -> Generator[None, None, None]:
    """Keep mpg123 off the terminal: after a seek it complains about each frame that lacks its first bits."""
    with Path(os.devnull).open("wb") as nowhere, _stderr:
        terminal = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def _rewrite(path: str | Path) -> str:
    path = Path(path)
    return f"replace it, or try to rescue it: ffmpeg -i {path.name} {path.stem}.rescued.flac"


def _reason(error: soundfile.SoundFileError) -> str:
    return getattr(error, "error_string", str(error)).rstrip(".")
