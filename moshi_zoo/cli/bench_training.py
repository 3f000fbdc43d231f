"""Where the time of a codec's training step goes: the steps of a recipe, on noise, under PyTorch's profiler."""

import json
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from rich.table import Table
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.data import DataLoader, Dataset

from moshi_zoo.data.segments import SegmentData
from moshi_zoo.training.lit_mimi import LitMimi

_WARMUP = 4  # steps; the first ones start codebooks and optimizers
_PROFILED = 4
_MARK = "part: "
_OPTIMIZER = "Optimizer.step"
_REST = "the rest (Lightning, logging, clipping, additions)"


@dataclass(frozen=True)
class TrainingSpeed:
    """What was measured.

    Args:
        seconds_per_step: median.
        audio_per_second: seconds of recordings that are learnt from in a second.
        shares: of the time, forward and backward, by part of the codec or loss; they add up to 1.
    """

    seconds_per_step: float
    audio_per_second: float
    shares: dict[str, float]

    def as_json(self) -> str:
        """As JSON text."""
        return json.dumps(asdict(self), indent=2)


def bench_training(recipe: Path, *, device: str, rounds: int) -> TrainingSpeed:
    """Train a codec for some steps, with its codebooks and its discriminator, and look where the time goes.

    Args:
        recipe: of a codec; its batches and segments have the size that it says.
        device: cpu or cuda.
        rounds: measured steps; a few more are profiled.

    Raises:
        ValueError: for the recipe of another model.
    """
    from moshi_zoo.cli import trainer

    on_gpu = device.startswith("cuda")
    made = trainer.run(["--config", str(recipe), "--trainer.accelerator", "gpu" if on_gpu else "cpu"])
    stage, data = made.model, made.datamodule
    if not isinstance(stage, LitMimi) or not isinstance(data, SegmentData):
        raise ValueError(f"{recipe} trains {type(stage).__name__}; this bench knows the training of Mimi")
    stage.codebooks.quantize_from, stage.discriminator_from = 1, 0  # all at work from the start
    noise = _Noise(data.batch_size, data.seconds, data.sample_rate)
    clock = _Clock(rounds)
    Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=1,
        precision=made.trainer.precision,
        max_steps=_WARMUP + rounds + _PROFILED,
        limit_val_batches=0,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(stage, noise)
    step = statistics.median(clock.times)
    return TrainingSpeed(step, noise.batch_size * noise.seconds / step, clock.shares)


def table_of(speed: TrainingSpeed) -> Table:
    """The shares, to print."""
    table = Table("part, forward and backward", "share")
    for part, share in speed.shares.items():
        table.add_row(part, f"{share:.1%}")
    return table


class _Noise(LightningDataModule):
    """Batches in memory: reading recordings is measured elsewhere, and differs from disk to disk."""

    def __init__(self, batch_size: int, seconds: float, sample_rate: int):
        super().__init__()
        self.batch_size, self.seconds, self.sample_rate = batch_size, seconds, sample_rate

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        return DataLoader(_Clips(4 * self.batch_size, round(self.seconds * self.sample_rate)), self.batch_size)


class _Clips(Dataset[dict[str, Tensor]]):
    def __init__(self, count: int, num_samples: int):
        self.wavs = 0.1 * torch.randn(count, 1, num_samples, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.wavs)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        wav = self.wavs[index]
        return {"wav": wav, "num_samples": torch.tensor(wav.shape[-1]), "index": torch.tensor(index)}


class _Clock(Callback):
    """Times whole steps, from end to end; profiles some more."""

    def __init__(self, rounds: int):
        self.rounds = rounds
        self.times: list[float] = []
        self.shares: dict[str, float] = {}
        self._stack, self._last = ExitStack(), 0.0

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        now, step = time.perf_counter(), trainer.global_step
        if _WARMUP < step <= _WARMUP + self.rounds:
            self.times.append(now - self._last)
        self._last = now
        if step == _WARMUP + self.rounds:
            assert isinstance(pl_module, LitMimi)
            activities = [ProfilerActivity.CPU]
            if pl_module.device.type == "cuda":
                activities.append(ProfilerActivity.CUDA)
            self._stack.enter_context(_marked(pl_module))
            self._profile = self._stack.enter_context(profile(activities=activities))
        elif step == _WARMUP + self.rounds + _PROFILED:
            self._stack.close()
            events = self._profile.events()
            assert events is not None
            self.shares = shares(events, on_gpu=pl_module.device.type == "cuda")


@contextmanager
def _marked(stage: LitMimi) -> Iterator[None]:
    """The profiler sees which part a forward pass belongs to."""
    parts: dict[str, nn.Module | None] = {
        **dict(stage.net.named_children()),
        "discriminator": stage.discriminator,
        "spectral loss": stage.spectral_loss,
        "distillation": stage.distillation,
    }
    with ExitStack() as handles:
        for name, part in parts.items():
            if part is None:
                continue
            ranges: list[record_function] = []

            def enter(*_: Any, name: str = name, ranges: list[record_function] = ranges) -> None:
                ranges.append(record_function(_MARK + name))
                ranges[-1].__enter__()

            def leave(*_: Any, ranges: list[record_function] = ranges) -> None:
                ranges.pop().__exit__(None, None, None)

            handles.callback(part.register_forward_pre_hook(enter).remove)
            handles.callback(part.register_forward_hook(leave).remove)
        yield


def shares(events: Iterable[Any], *, on_gpu: bool) -> dict[str, float]:
    """Shares of the time by marked part, largest first.

    A backward operation carries the number of its forward operation, and so belongs to the same part.

    Args:
        events: of PyTorch's profiler.
        on_gpu: count the time of the GPU instead of the CPU's.
    """
    events = list(events)
    part_of_number: dict[int, str] = {}
    for event in events:
        part = _enclosing(event, _MARK)
        if part and event.sequence_nr >= 0:
            part_of_number.setdefault(event.sequence_nr, part.removeprefix(_MARK))
    spent: dict[str, float] = defaultdict(float)
    for event in events:
        if part := _enclosing(event, _MARK):
            name = part.removeprefix(_MARK)
        elif _enclosing(event, _OPTIMIZER):
            name = "optimizers"
        else:
            name = part_of_number.get(_number(event), _REST)
        spent[name] += event.self_device_time_total if on_gpu else event.self_cpu_time_total
    total = sum(spent.values())
    return {name: time / total for name, time in sorted(spent.items(), key=lambda item: -item[1])}


def _enclosing(event: Any, prefix: str) -> str | None:
    """The nearest range around an event whose name starts so."""
    while event is not None and not event.name.startswith(prefix):
        event = event.cpu_parent
    return event.name if event else None


def _number(event: Any) -> int:
    """Of the forward operation that a backward one belongs to."""
    while event is not None:
        if event.name.startswith("autograd::engine::evaluate_function"):
            return event.sequence_nr
        event = event.cpu_parent
    return -1
