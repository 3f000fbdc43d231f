"""Training of Moshi (Moshi paper 4): single-stream pre-training, conversations, instruction, speech to text and back.

The stages differ in their data, their losses and their learning rates, which recipes say. A step is one optimizer step
on one batch, cut into parts where memory is short; its loss is a weighted mean over all targets of all parts and
processes, exactly. Batches of text alone may come between: they train the temporal transformer, with Adam moments of
their own, since their gradients are of another kind (paper 4.4).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from moshi_zoo import registry
from moshi_zoo.losses.multistream import MultistreamLoss
from moshi_zoo.models.moshi import Moshi
from moshi_zoo.models.user_heads import with_user_heads
from moshi_zoo.modules.lora import LoraSize, adapter_state_dict, add_adapter, is_adapter_tensor
from moshi_zoo.training.guarded_step import GuardedStep
from moshi_zoo.training.learning_rates import LearningRates, parameter_groups
from moshi_zoo.training.listening import Listening, ListeningSize
from moshi_zoo.training.moshi_metrics import MoshiMetrics
from moshi_zoo.training.moshi_samples import MoshiSamples
from moshi_zoo.training.schedule import WarmupCosine, optimizer_steps
from moshi_zoo.training.sharding import shard, whole
from moshi_zoo.training.speech_alarms import SpeechAlarms
from moshi_zoo.training.speech_objective import SpeechObjective
from moshi_zoo.training.stage import Stage
from moshi_zoo.training.step_rows import StepRows
from moshi_zoo.training.text_layouts import check_text_layout
from moshi_zoo.zoo.adapters import adapter_spec
from moshi_zoo.zoo.config import Parent, ZooConfig
from moshi_zoo.zoo.sampling import Sampling


class LitMoshi(Stage):
    """Trains Moshi on coded speech with its words, ``{codes [B, R, T]}``, and on text, ``{tokens, loss_mask}``.

    Works with one process, with DDP and with sharded weights (:class:`ShardedStrategy`): two processes with half the
    batch each compute what one does with all of it.

    Args:
        net: the model.
        loss: what each target counts.
        rates: learning rates of its parts.
        optimizer: gets matrices with weight decay and all else without; its rate is that of ``rates``.
        schedule: of the learning rates, made for an optimizer and the steps of the run.
        weight_decay: of the matrices.
        clip: largest gradient norm; None: unlimited.
        accumulate: parts that a batch is cut into, one after the other.
        depth_fraction: share of the frames that the depth transformer learns from, drawn anew for each batch.
        freeze: parts of the net that stay as they are, such as ``temporal`` or ``temporal.embedding``.
        lora: ranks of adapters (LoRA) that are trained in the place of the net, which ``init_from: {net: …}`` brings
            and which stays as it is; they alone are published.
        listening: an additional loss that makes a layer of the temporal transformer know the user's words, which the
            data give as ``heard`` (``heard_delay_s``); None: none.
        chunk: positions whose logits are held at a time.
        checkpointing: keep only the inputs of the temporal layers for the backward pass.
        compile: compile the layers.
        sampling: how to draw from the model: from the samples, and by all who talk with it later. None: as its parent
            (``init_from: {net: …}``) says; samples then have a temperature of 0.7 for text and 0.6 for codes.
        codec: name or folder of the codec that made the codes, to hear the samples; None: nothing is heard.
        num_samples: conversations to answer at each validation: the users of the first validation dialogues.
        sample_frames: their length.

    Raises:
        ValueError: for settings that make no sense.
    """

    monitor = "val/loss"
    net: Moshi

    def __init__(
        self,
        net: Callable[[], Moshi],
        *,
        loss: MultistreamLoss,
        rates: LearningRates,
        optimizer: OptimizerCallable = AdamW,
        schedule: Callable[[Optimizer, int], LRScheduler] = WarmupCosine,
        weight_decay: float = 0.1,
        clip: float | None = 1.0,
        accumulate: int = 1,
        depth_fraction: float = 1.0,
        freeze: Sequence[str] = (),
        lora: LoraSize | None = None,
        listening: ListeningSize | None = None,
        chunk: int = 1024,
        checkpointing: bool = False,
        compile: bool = False,
        sampling: Sampling | None = None,
        codec: str | None = None,
        num_samples: int = 4,
        sample_frames: int = 250,
    ):
        super().__init__(net)
        self.automatic_optimization = False
        if accumulate < 1 or chunk < 1:
            raise ValueError(f"accumulate ({accumulate}) and chunk ({chunk}) must be 1 or more")
        if not 0 < depth_fraction <= 1:
            raise ValueError(f"depth_fraction ({depth_fraction}) must be above 0 and at most 1")
        self.loss, self.rates = loss, rates
        self.make_optimizer, self.make_schedule, self.weight_decay = optimizer, schedule, weight_decay
        self.accumulate, self.depth_fraction, self.freeze, self.chunk = accumulate, depth_fraction, tuple(freeze), chunk
        self.sampling = sampling
        self.lora, self.listens, self.checkpointing, self.compiles = lora, listening, checkpointing, compile
        self.listening: Listening | None = None
        self.samples = MoshiSamples(codec, count=num_samples, num_frames=sample_frames)
        self.guarded_step = GuardedStep("speech model", clip=clip)
        self.rows = StepRows(in_progress_bar=("loss", "text", "semantic"))

    def configure_callbacks(self) -> list[Any]:
        """The alarms."""
        return [SpeechAlarms()]

    def configure_model(self) -> None:
        """Make the model; sharded, if there is a mesh of processes."""
        if "net" in self._modules:
            return
        super().configure_model()
        if self.lora is not None:
            add_adapter(self.net, self.lora)
        trunk, depth = self.net.temporal.transformer, self.net.depth
        parts = dict(self.net.named_modules())
        for name in self.freeze:
            if name not in parts:
                raise ValueError(f"freeze: the net has no part {name!r}; it has {', '.join(_top(parts))}")
            parts[name].requires_grad_(False)
        if self.net.extra_heads is not None:
            self.net.extra_heads.requires_grad_(False)  # these rows do not say what they shall learn
        trunk.checkpointing = self.checkpointing
        layers = [*trunk.layers, *depth.layers]
        if self.compiles:
            for layer in layers:  # one by one: they share the code, which is ready sooner than that of the whole
                cast("nn.Module", layer).compile()
        if self.listens is not None:
            if self.device_mesh is not None:
                raise ValueError("listening: the head is not made for sharded weights: use DDP, or leave it out")
            self.listening = Listening(self.net, self.listens)
        shard(self.net, layers, self.device_mesh, methods=["hidden", "read", "step"])
        is_sharded = self.device_mesh is not None
        self.objective = SpeechObjective(self.net, self.loss, chunk=self.chunk, recompute=is_sharded)

    @property
    def spec(self) -> registry.Spec:
        """Of the net, or of its adapters."""
        return super().spec if self.lora is None else adapter_spec(super().spec, self.lora)

    def starts_from(self, part: str, source: str, config: ZooConfig) -> None:
        """Its text must go on as it was, or is warned of; a whole model is drawn from as before."""
        if part == "net":
            check_text_layout(self.text_layout, source, config, is_adapter=self.lora is not None)
            if self.lora is None and self.sampling is None:  # an adapter has its model's wherever it is used
                self.sampling = config.sampling

    def may_start_new(self, name: str) -> bool:
        """Adapters do."""
        return self.lora is not None and is_adapter_tensor(name)

    def adapted(self, name: str, tensor: Tensor, wanted: torch.Size) -> Tensor:
        """Heads for the user's codes start as copies of Moshi's."""
        return with_user_heads(name, tensor, wanted, num_own=self.net.num_own_codebooks)

    def zoo_weights(self) -> dict[str, Tensor]:
        """Those of the net, or of its adapters alone."""
        if self.lora is None:
            return super().zoo_weights()
        return {name: whole(tensor) for name, tensor in adapter_state_dict(self.net).items()}

    def configure_optimizers(self) -> Any:
        """An optimizer for speech and, where batches of text come between, one for these; each with its schedule.

        Raises:
            ValueError: in half precision.
        """
        self.refuse_half_precision()
        total = optimizer_steps(self.trainer, accumulate=1)
        share = getattr(self._data, "text_share", 0.0)
        groups = [parameter_groups(self.net, self.rates, weight_decay=self.weight_decay)]
        if self.listening is not None:
            head = {"params": list(self.listening.parameters()), "lr": self.rates.temporal, "weight_decay": 0.0}
            groups[0].append({**head, "name": "listening"})
        if share:
            rates = LearningRates(self.rates.temporal, self.rates.depth)
            groups.append(parameter_groups(self.net.temporal, rates, weight_decay=self.weight_decay))
        if not all(groups):
            raise ValueError("nothing is left to learn for a batch (of text, or at all): see freeze and lora's ranks")
        optimizers = [self.make_optimizer(group) for group in groups]
        steps = [round(total * (1 - share)), round(total * share)]
        return optimizers, [self.make_schedule(o, n) for o, n in zip(optimizers, steps, strict=False)]

    def on_fit_start(self) -> None:
        """Prepare the measurements; the codec of the codes belongs to the lineage.

        Raises:
            ValueError: if adapters have no model to adapt, or the codec is another than that of the codes.
        """
        self.train_metrics = self._metrics()
        if self.lora is not None and self.started_parts != ["net"]:
            given = ", ".join(self.started_parts) or "nothing"
            raise ValueError(
                "lora: adapters are nothing without the one whole model that they are for: give it, --init_from.net "
                f"MODEL, and no other part (given: {given})"
            )
        codec = getattr(self._data, "codec", None)
        if codec is not None:
            parent = Parent(name=codec.name, sha256=codec.sha256)
            self.samples.check(parent)
            self.parents = [*(p for p in self.parents if p.sha256 != parent.sha256), parent]

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """One step.

        Raises:
            ValueError: if the training has broken down.
        """
        if "tokens" in batch:
            self._text_step(batch)
        else:
            self._speech_step(batch)

    def on_validation_start(self) -> None:
        """Start to measure."""
        self.validation_metrics, self._validated = self._metrics(), 0

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Measure; keep the users of the first dialogues."""
        codes, objective = batch["codes"], self.objective
        targets = objective.targets(codes)
        denominators = objective.denominators([targets], self.sum_over_processes)
        self.validation_metrics.add(objective.predict(codes, targets, denominators))
        self._listener(batch)(0)
        self._validated += 1
        if batch_idx == 0:
            self.samples.see(codes)

    def on_validation_epoch_end(self) -> None:
        """Log what was measured, and let the model talk."""
        values = self.validation_metrics.finish(self.sum_over_processes, batches=max(self._validated, 1))
        values |= self._heard()
        values |= self.samples.show(self, self.net, self.tokenizer, self.sampling)
        self.log_dict({f"val/{name}": value for name, value in values.items()}, sync_dist=True)

    def _speech_step(self, batch: Mapping[str, Tensor]) -> None:
        optimizer, objective = self._optimizers[0], self.objective
        parts = batch["codes"].chunk(self.accumulate)
        targets = [objective.targets(part) for part in parts]
        denominators, listen = objective.denominators(targets, self.sum_over_processes), self._listener(batch)
        for number, (part, wanted) in enumerate(zip(parts, targets, strict=True)):
            with optimizer.toggle_model(sync_grad=part is parts[-1]):
                said = objective.predict(part, wanted, denominators, depth_fraction=self.depth_fraction)
                # processes take the mean of their gradients; the sum is wanted
                self.manual_backward((said.loss + listen(number)) * self.trainer.world_size)
            self.train_metrics.add(said)
        self._finish(optimizer, 0, self.train_metrics.finish(self.sum_over_processes) | self._heard())

    def _listener(self, batch: Mapping[str, Tensor]) -> Callable[[int], Tensor | float]:
        """Number of the part of a batch that the net has just gone through -> its share of the loss of listening."""
        listening = self.listening
        if listening is None:
            return lambda number: 0.0
        if "heard" not in batch:
            raise ValueError("listening: the data do not say what the user says: set data.heard_delay_s, such as 0.5")
        heard = batch["heard"]
        denominator = self.sum_over_processes(listening.denominator(heard))
        parts = heard.chunk(self.accumulate if self.training else 1)
        return lambda number: listening(parts[number], denominator, chunk=self.chunk)

    def _heard(self) -> dict[str, float]:
        return self.listening.finish(self.sum_over_processes) if self.listening is not None else {}

    def _text_step(self, batch: Mapping[str, Tensor]) -> None:
        optimizer = self._optimizers[1]
        parts = list(
            zip(batch["tokens"].chunk(self.accumulate), batch["loss_mask"].chunk(self.accumulate), strict=True)
        )
        count = self.sum_over_processes(batch["loss_mask"].sum()).clamp(min=1)
        total = torch.zeros((), device=self.device)
        for tokens, mask in parts:
            with optimizer.toggle_model(sync_grad=tokens is parts[-1][0]):
                loss = self.objective.text_alone(tokens, mask)
                self.manual_backward(loss.total * (self.trainer.world_size / count))
            total += loss.total.detach()
        self._finish(optimizer, 1, {"text_only": float(self.sum_over_processes(total) / count)})

    def _finish(self, optimizer: LightningOptimizer, number: int, values: dict[str, float]) -> None:
        schedule = self.trainer.lr_scheduler_configs[number].scheduler
        values["lr"] = optimizer.param_groups[0]["lr"]
        values["grad_norm"] = float(self.guarded_step(optimizer, schedule).norm)
        self.rows.log(self, values, kind=number)

    @property
    def _data(self) -> Any:
        return getattr(self.trainer, "datamodule", None)

    @property
    def _optimizers(self) -> list[LightningOptimizer]:
        optimizers = self.optimizers()
        return optimizers if isinstance(optimizers, list) else [cast("LightningOptimizer", optimizers)]

    def _metrics(self) -> MoshiMetrics:
        return MoshiMetrics(
            num_generated=self.net.num_generated, device=self.device, tokenizer=self.tokenizer, **self.objective.names
        )


def _top(parts: Mapping[str, nn.Module]) -> list[str]:
    return sorted(name for name in parts if name and name.count(".") == 0)
