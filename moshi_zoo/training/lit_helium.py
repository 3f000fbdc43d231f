"""Training of the Helium language model (Moshi paper 3.2), from scratch or on chats: the next token, and nothing else.

A step is one optimizer step, of one batch or of several, in one process or in many: its loss is the mean over all
tokens that count in any of them, exactly.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from moshi_zoo.losses.cross_entropy import TokenLoss, chunked_cross_entropy
from moshi_zoo.models.helium import Helium
from moshi_zoo.training.accumulation import place_of
from moshi_zoo.training.guarded_step import GuardedStep
from moshi_zoo.training.schedule import WarmupCosine, optimizer_steps
from moshi_zoo.training.sharding import shard
from moshi_zoo.training.stage import Stage
from moshi_zoo.training.text_metrics import TextMetrics
from moshi_zoo.training.text_samples import TextSamples
from moshi_zoo.training.throughput import Throughput, peak_flops, training_flops

_IN_PROGRESS_BAR = ("loss", "bits_per_byte", "tokens_per_second")


class LitHelium(Stage):
    """Trains a language model on packed rows of text.

    Works with one process, with DDP and with sharded weights (:class:`ShardedStrategy`): two processes with half the
    batch each compute what one does with all of it.

    Args:
        net: the language model.
        optimizer: gets the matrices with weight decay and all else without.
        schedule: of the learning rate, made for an optimizer and the steps of the run.
        weight_decay: of the matrices.
        clip: largest gradient norm; None: unlimited.
        accumulate: batches per optimizer step.
        chunk: positions whose logits are held at a time.
        checkpointing: keep only the inputs of the layers for the backward pass: more arithmetic, less memory.
        compile: compile the layers.
        prompts: texts to go on from at each validation; none given: the beginnings of the first rows.
        num_samples: how many of them.
        sample_tokens: length of such a continuation.

    Raises:
        ValueError: for settings that make no sense.
    """

    monitor = "val/loss"
    net: Helium

    def __init__(
        self,
        net: Callable[[], Helium],
        *,
        optimizer: OptimizerCallable = AdamW,
        schedule: Callable[[Optimizer, int], LRScheduler] = WarmupCosine,
        weight_decay: float = 0.1,
        clip: float | None = 1.0,
        accumulate: int = 1,
        chunk: int = 1024,
        checkpointing: bool = False,
        compile: bool = False,
        prompts: Sequence[str] = (),
        num_samples: int = 4,
        sample_tokens: int = 64,
    ):
        super().__init__(net)
        self.automatic_optimization = False
        if accumulate < 1 or chunk < 1:
            raise ValueError(f"accumulate ({accumulate}) and chunk ({chunk}) must be 1 or more")
        self.make_optimizer, self.make_schedule, self.weight_decay = optimizer, schedule, weight_decay
        self.accumulate, self.chunk = accumulate, chunk
        self.checkpointing, self.compiles = checkpointing, compile
        self.samples = TextSamples(prompts, count=num_samples, max_tokens=sample_tokens)
        self.guarded_step = GuardedStep("language model", clip=clip)
        self.throughput: Throughput | None = None

    def configure_model(self) -> None:
        """Make the language model; sharded, if there is a mesh of processes."""
        if "net" in self._modules:
            return
        super().configure_model()
        trunk = self.net.transformer
        trunk.checkpointing = self.checkpointing
        if self.compiles:
            for layer in trunk.layers:  # one by one: they share the code, which is ready sooner than that of the whole
                layer.compile()
        shard(self.net, trunk.layers, self.device_mesh, methods=["hidden"])

    def configure_optimizers(self) -> Any:
        """One optimizer and its schedule.

        Raises:
            ValueError: in half precision.
        """
        self.refuse_half_precision()
        optimizer = self.make_optimizer(parameter_groups(self.net, weight_decay=self.weight_decay))
        total = optimizer_steps(self.trainer, accumulate=self.accumulate)
        return [optimizer], [self.make_schedule(optimizer, total)]

    def on_fit_start(self) -> None:
        """Prepare the measurements."""
        self.train_metrics = self._metrics()

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """One step, or a batch's share of it.

        Raises:
            ValueError: if the training has broken down.
        """
        (optimizer,) = self.counting_optimizers()
        place = place_of(batch_idx, self.trainer, accumulate=self.accumulate)
        with optimizer.toggle_model(sync_grad=place.is_last):
            loss = self.loss(batch)
            self.manual_backward(loss.total)
        self.train_metrics.add(loss, batch["tokens"][:, 1:], batch["loss_mask"])
        if not place.is_last:
            return
        values = self.train_metrics.finish(self.sum_over_processes)
        # Processes take the mean of their gradients; the sums over their tokens are wanted, divided by all tokens.
        _scale_gradients(optimizer, self.trainer.world_size / max(values.pop("tokens"), 1))
        values["lr"] = optimizer.param_groups[0]["lr"]
        values["grad_norm"] = float(self.guarded_step(optimizer, self._schedule).norm)
        values |= self._speed(batch["loss_mask"], batches=place.size)
        for name, value in values.items():
            self.log(f"train/{name}", value, prog_bar=name in _IN_PROGRESS_BAR)

    def loss(self, batch: Mapping[str, Tensor]) -> TokenLoss:
        """The loss of a batch: of ``tokens`` [B, T + 1], each from those before it, where ``loss_mask`` [B, T] says."""
        tokens = batch["tokens"]
        hidden = self.net.hidden(tokens[:, :-1])  # [B, T, D]
        # The output matrix is whole here although the weights may be sharded: what is not in a layer stays so.
        return chunked_cross_entropy(
            hidden, self.net.output.weight, tokens[:, 1:], batch["loss_mask"], chunk=self.chunk
        )

    def on_validation_start(self) -> None:
        """Start to measure."""
        self.validation_metrics = self._metrics()

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Measure; keep the beginnings of the first rows."""
        self.validation_metrics.add(self.loss(batch), batch["tokens"][:, 1:], batch["loss_mask"])
        if batch_idx == 0:
            self.samples.see(batch["tokens"])

    def on_validation_epoch_end(self) -> None:
        """Log what was measured, and let the model write."""
        values = self.validation_metrics.finish(self.sum_over_processes)
        self.log_dict({f"val/{name}": value for name, value in values.items()}, sync_dist=True)
        if self.tokenizer is not None:
            self.samples.show(self, self.net, self.tokenizer)

    def on_validation_end(self) -> None:
        """The clock has run meanwhile."""
        if self.throughput is not None:
            self.throughput.pause()

    @property
    def _schedule(self) -> LRScheduler:
        return self.trainer.lr_scheduler_configs[0].scheduler

    def _metrics(self) -> TextMetrics:
        return TextMetrics(self.tokenizer, self.device)

    def _speed(self, mask: Tensor, *, batches: int) -> dict[str, float]:
        """The throughput, all processes taken together."""
        if self.throughput is None:
            matrices = sum(p.numel() for p in self.net.parameters() if p.ndim > 1) - self.net.embedding.weight.numel()
            flops = training_flops(
                num_weights=matrices,
                num_layers=len(self.net.transformer.layers),
                dim=self.net.dim,
                length=min(mask.shape[1], self.net.context),
            )
            dtype = torch.bfloat16 if "bf16" in str(self.trainer.precision) else torch.float32
            peak = peak_flops(self.device, dtype) * self.trainer.world_size
            self.throughput = Throughput(flops_per_token=flops, peak=peak)
        return self.throughput.add(mask.numel() * batches * self.trainer.world_size)


def parameter_groups(net: Helium, *, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices with weight decay; vectors, which are scales of norms, without.

    Args:
        net: the language model.
        weight_decay: of the matrices, embeddings among them.
    """
    matrices = [p for p in net.parameters() if p.ndim > 1]
    vectors = [p for p in net.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def _scale_gradients(optimizer: Any, factor: float) -> None:
    for group in optimizer.param_groups:
        torch._foreach_mul_([p.grad for p in group["params"] if p.grad is not None], factor)
