"""A teacher whose features are made once a recording and kept on disk: for large teachers on small machines."""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from rich.console import Console
from rich.progress import Progress
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from moshi_zoo.modules.teacher import (
    FEATURE_RATE,
    FEATURES_PER_FRAME,
    Lesson,
    Recordings,
    Teacher,
    begins_in_speech,
    frame_size,
    pool,
)
from moshi_zoo.registry import register

_BLOCK, _CONTEXT = 250, 25  # codec frames (20 s, 2 s): longer recordings pass in blocks, with context on both sides
_SAMPLE = "sample.safetensors"  # features of one and the same noise: they tell whose features a folder holds
_TOLERANCE = 0.05  # of their standard deviation: half precision and other devices stay below


@register("cached-teacher")
class CachedTeacher(Teacher):
    """Takes another teacher's features from disk: `prepare` makes those that are not there yet.

    They are those of whole recordings at 50 Hz in half precision (370 MB an hour for WavLM-large); a window takes its
    part, to the nearest 20 ms. A recording is known by its path: where one has changed, delete its file.

    Args:
        teacher: who makes them.
        folder: where they are kept; each teacher, and each setting of it, needs its own.
    """

    def __init__(self, teacher: Callable[[], Teacher], *, folder: str) -> None:
        made = teacher()
        super().__init__(made.dim)
        self.teacher, self.folder = made, Path(folder).expanduser()
        self._files: list[Path] = []  # of all recordings, in their order

    @torch.no_grad()
    def prepare(self, recordings: Recordings, sample_rate: int, device: torch.device) -> None:
        """Make the features that are missing; processes share the work.

        Args:
            recordings: all of them, in the order that batches count by.
            sample_rate: theirs, in Hz.
            device: of the teacher.

        Raises:
            ValueError: if the folder holds another teacher's features, or not all processes see it.
        """
        rank, world_size = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._compare_sample(sample_rate, device)
        self._files = [self.folder / _file_name(name) for name in recordings.names]
        mine = range(rank, len(self._files), world_size)
        missing = [i for i in mine if not self._files[i].exists()]
        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=rank > 0 or not console.is_terminal) as progress:
            for i in progress.track(missing, description=f"features for {self.folder} (once)"):
                _save(self._files[i], self._features_of(recordings.load(i).to(device), sample_rate))
        if dist.is_initialized():
            dist.barrier()
        if not all(file.exists() for file in self._files):
            raise ValueError(f"{self.folder} is not one folder for all processes: put it where all machines see it")

    @torch.no_grad()
    def lesson(self, batch: Mapping[str, Tensor], sample_rate: int) -> Lesson:
        """Features of a batch, from disk.

        Args:
            batch: ``wav`` [B, 1, S], ``num_samples`` [B], and where it comes from: ``recording`` [B] and its sample
                ``start`` [B].
            sample_rate: in Hz.

        Raises:
            ValueError: if `prepare` has not seen the recordings, or the batch does not say where it comes from.
        """
        if not self._files or "recording" not in batch:
            raise ValueError(
                "the cached teacher needs data that shows its `recordings` and says where batches come from "
                "(`recording`, `start`), such as SegmentData; or take the teacher without the cache"
            )
        num_steps = batch["wav"].shape[-1] * FEATURE_RATE // sample_rate
        places = zip(batch["recording"].tolist(), batch["start"].tolist(), strict=True)
        parts = [_read(self._files[i], round(start * FEATURE_RATE / sample_rate), num_steps) for i, start in places]
        features = torch.stack(parts).to(batch["wav"].device, torch.float32)  # [B, N, D]
        return Lesson(pool(features.transpose(1, 2)), mask=begins_in_speech(batch, sample_rate))

    def features(self, wav: Tensor, sample_rate: int) -> Tensor:
        """The teacher's own, not from disk."""
        return self.teacher.features(wav, sample_rate)

    def _features_of(self, wav: Tensor, sample_rate: int) -> Tensor:
        """Features [N, D] of a whole recording [1, S]."""
        frame = frame_size(sample_rate)
        wav = F.pad(wav, (0, -wav.shape[-1] % frame))[None]
        parts = []
        for start in range(0, wav.shape[-1], _BLOCK * frame):
            begin, end = max(start - _CONTEXT * frame, 0), start + (_BLOCK + _CONTEXT) * frame
            features = self.teacher.features(wav[..., begin:end], sample_rate)[0]  # [D, N]
            before = (start - begin) * FEATURE_RATE // sample_rate
            parts.append(features[:, before : before + _BLOCK * FEATURES_PER_FRAME])
        return torch.cat(parts, dim=1).T

    def _compare_sample(self, sample_rate: int, device: torch.device) -> None:
        noise = 0.1 * torch.randn(1, sample_rate, generator=torch.Generator().manual_seed(0))
        sample, file = self._features_of(noise.to(device), sample_rate).cpu(), self.folder / _SAMPLE
        if not file.exists():
            _save(file, sample)
        kept = load_file(file)["features"].float()
        if kept.shape != sample.shape or (kept - sample).abs().max() > _TOLERANCE * sample.std():
            raise ValueError(
                f"{self.folder} holds the features of another teacher, or of another setting of this one (layer, "
                "weights, sample rate ...): give this one a folder of its own"
            )


def _file_name(recording: str) -> str:
    return f"{Path(recording).stem}-{hashlib.sha256(recording.encode()).hexdigest()[:12]}.safetensors"


def _save(file: Path, features: Tensor) -> None:
    draft = file.with_suffix(f".{os.getpid()}")  # a file is there when all of it is
    save_file({"features": features.half().cpu().contiguous()}, draft)
    draft.replace(file)


def _read(file: Path, first: int, num_steps: int) -> Tensor:
    """Rows [N, D] of a file, and zeros behind its end."""
    with safe_open(file, "pt") as opened:
        rows = opened.get_slice("features")
        part = rows[first : min(first + num_steps, rows.get_shape()[0])]
    return F.pad(part, (0, 0, 0, num_steps - len(part)))
