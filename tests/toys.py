"""A network, a stage and data so small that a run takes a moment; registered like the real ones."""

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.optim import SGD
from torch.utils.data import DataLoader

from moshi_zoo.registry import register
from moshi_zoo.training.stage import Stage


@register("toy-scale")
class ToyScale(nn.Module):
    """A nested part, made by a factory."""

    def __init__(self, dim: int, *, start: float = 1.0):
        super().__init__()
        self.start = start
        self.scale = nn.Parameter(torch.empty(dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.constant_(self.scale, self.start)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


@register("toy", presets={"tiny": {"dim": 8, "scale": {"component": "toy-scale", "init_args": {"start": 0.5}}}})
class Toy(nn.Module):
    """Has a nested part, a buffer that is saved, and one that is not."""

    def __init__(self, dim: int, scale: Callable[[int], nn.Module] = ToyScale, *, sample_rate: int = 24_000):
        super().__init__()
        self.sample_rate = sample_rate
        self.linear = nn.Linear(dim, dim)
        self.scale = scale(dim)
        self.register_buffer("seen", torch.empty(()))
        self.register_buffer("table", torch.empty(dim), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        self.seen.zero_()
        self.table.copy_(torch.arange(len(self.table)))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale(self.linear(x)) + self.table


class LitToy(Stage):
    """Pulls the output to zero; has a second optimizer, for the counting of steps."""

    monitor = "val/loss"

    def __init__(
        self, net: Callable[[], Toy], *, optimizer: OptimizerCallable = SGD, interrupt_at: int = -1, fail_at: int = -1
    ):
        super().__init__(net)
        self.automatic_optimization = False
        self.make_optimizer, self.interrupt_at, self.fail_at = optimizer, interrupt_at, fail_at

    def configure_optimizers(self) -> Any:
        return [self.make_optimizer(self.net.linear.parameters()), self.make_optimizer(self.net.scale.parameters())]

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        if self.global_step == self.interrupt_at:
            raise KeyboardInterrupt
        if self.global_step == self.fail_at:
            raise RuntimeError("a bug")
        loss = self.net(batch).square().mean()
        self.manual_backward(loss)
        for optimizer in self.counting_optimizers():
            optimizer.step()
            optimizer.zero_grad()
        self.log("train/loss", loss, prog_bar=True)

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/loss", self.net(batch).square().mean())
        self.log("val/batches", float(batch_idx + 1), reduce_fx="max")


class ToyData(LightningDataModule):
    """Normal noise."""

    def __init__(self, *, batch_size: int = 4, sample_rate: int = 24_000):
        super().__init__()
        self.batch_size, self.sample_rate = batch_size, sample_rate

    def train_dataloader(self) -> DataLoader:
        return DataLoader(_noise(32, seed=0), self.batch_size)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(_noise(16, seed=1), self.batch_size)


def _noise(count: int, *, seed: int) -> Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))
