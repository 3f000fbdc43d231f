"""Moving average of the net's weights: what is validated and published (Moshi paper 3.3.3: decay 0.99)."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from moshi_zoo.training.stage import Stage

_NET = "net."


class WeightEMA(Callback):
    """Keeps an exponential moving average of the weights of the stage's net.

    Only the net is averaged: neither a discriminator nor a teacher. Buffers (codebooks, which are averages already)
    stay those of the live net. From the start of a validation until the next batch, and at the end of the run, the net
    holds the averages: what is measured, shown and published are they.

    A checkpoint's ``state_dict`` holds the averages, so that it can be validated and loaded without this class; the
    weights to train on from lie beside it, under ``live_weights``.

    Lightning's own ``WeightAveraging`` copies the whole stage, swaps buffers with it, and swaps back before the
    callbacks that write the validated weights come to their turn.

    Args:
        decay: share of the average that a step leaves; 0.99 remembers about 100 steps.

    Raises:
        ValueError: for a decay outside of 0 to 1.
    """

    def __init__(self, decay: float = 0.99):
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}; it must be at least 0 and under 1")
        self.decay = decay
        self._step = 0  # the last one that went into the average
        self._aside: dict[str, Tensor] = {}  # the averages; the live weights while the net holds the averages
        self._net_is_averaged = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Follow the net to its device: a checkpoint is loaded before."""
        if self._aside:
            self._aside = {name: self._aside[name].to(weight) for name, weight in _weights(pl_module).items()}

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Train the live weights."""
        self._use(pl_module, averages=False)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Take in the weights after an optimizer step; the first are the first average."""
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        live = _weights(pl_module)
        if self._aside:
            get_ema_multi_avg_fn(self.decay)(list(self._aside.values()), list(live.values()), self._step)
        else:
            self._aside = {name: weight.clone() for name, weight in live.items()}

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validate the averages, if there are any yet."""
        self._use(pl_module, averages=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Publish the averages."""
        self._use(pl_module, averages=True)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Store both kinds of weights."""
        if not self._aside:
            return
        inside, aside = _weights(pl_module), dict(self._aside)
        averages, live = (inside, aside) if self._net_is_averaged else (aside, inside)
        checkpoint["state_dict"] |= {_NET + name: weight for name, weight in averages.items()}
        checkpoint["live_weights"] = live

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Go on from both; from a checkpoint of a run without averages, start them."""
        if trainer.state.fn != "fit" or "live_weights" not in checkpoint:
            return
        self._step = checkpoint["global_step"]
        self._net_is_averaged = True  # the stage has loaded its state_dict
        live = checkpoint["live_weights"]
        self._aside = {name: live[name].to(weight, copy=True) for name, weight in _weights(pl_module).items()}
        self._use(pl_module, averages=False)

    @torch.no_grad()
    def _use(self, stage: LightningModule, *, averages: bool) -> None:
        if not self._aside or self._net_is_averaged == averages:
            return
        for name, weight in _weights(stage).items():
            kept = weight.clone()
            weight.copy_(self._aside[name])
            self._aside[name] = kept
        self._net_is_averaged = averages


def _weights(stage: LightningModule) -> dict[str, Tensor]:
    """The parameters themselves, not copies; no buffers."""
    assert isinstance(stage, Stage)
    return {name: weight.detach() for name, weight in stage.net.named_parameters()}
