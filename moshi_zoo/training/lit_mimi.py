"""Training of the Mimi codec (Moshi paper 3.3.3): generator and discriminator, reconstruction, distillation, codebooks.

The order of a step is audiocraft's: codec forward, discriminator step on the detached output, then the codec's losses
through the discriminator just updated; last, the codebooks learn from what they saw.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor
from torch.optim import AdamW

from moshi_zoo.losses.adversarial import discriminator_loss, feature_matching_loss, generator_loss
from moshi_zoo.losses.spectral import LogMelLoss, SpectralLoss
from moshi_zoo.models.mimi import Mimi, MimiOutput
from moshi_zoo.modules.codebook import Codebook
from moshi_zoo.modules.conv import add_weight_norm, folded_state_dict
from moshi_zoo.modules.discriminator import Discriminator
from moshi_zoo.modules.teacher import Teacher
from moshi_zoo.training.accumulation import Place, place_of
from moshi_zoo.training.codebook_learning import CodebookLearning
from moshi_zoo.training.codec_alarms import CodecAlarms
from moshi_zoo.training.codec_draws import CodecDraws
from moshi_zoo.training.codec_objective import CodecLossWeights, CodecObjective
from moshi_zoo.training.codec_parts import Trained, freeze, frozen_parts, kept_codebooks, parameter_groups
from moshi_zoo.training.codec_validation import CodecValidation, show_clips
from moshi_zoo.training.distillation import Distillation
from moshi_zoo.training.guarded_step import GuardedStep
from moshi_zoo.training.schedule import WarmupCosine, optimizer_steps
from moshi_zoo.training.stage import Stage
from moshi_zoo.training.verdict import verdict

_WEIGHTS = CodecLossWeights()
_IN_PROGRESS_BAR = ("spectral", "commitment", "adversarial", "discriminator")


class LitMimi(Stage):
    """Trains a codec on segments of speech.

    A step is an optimizer step, of one batch or of ``accumulate``. Processes share out the batch, and everything drawn
    for it: two with half the batch each compute what one does with all of it.

    Args:
        net: the codec.
        discriminator: judges recordings and reconstructions; None: reconstruction losses alone.
        teacher: what the semantic codebook shall know; None: no distillation.
        train: ``all`` of the codec; ``decoder_and_quantizer``: the encoder stays as it came (``init_from``);
            ``decoder``: the quantizer stays, too, and codes of recordings are what they were;
            ``decoder_and_new_codebooks``: the codec has more codebooks than it came with, and the codes of those it
            came with are what they were.
        spectral_loss: the reconstruction loss, made for a sample rate.
        loss_weights: of all losses.
        gradients: ``balanced`` scales each waveform loss by the norm of its gradient; ``summed`` adds them plainly.
        generator_optimizer: of the codec (and the distillation's projection).
        discriminator_optimizer: of the discriminator.
        warmup_steps: of both learning rates, each counted in its optimizer's own steps.
        final_lr: share of the peak learning rate at the end of the run (cosine); 1 holds it.
        transformer_decay: weight decay of the transformers' matrices; all else has none.
        clip: largest gradient norm of each network; None: unlimited.
        accumulate: batches per optimizer step.
        weight_norm: train convolutions as direction and length; saved weights are plain all the same.
        quantize_from: step from which the latents are quantized, at least 1. Before it they pass through; then k-means
            over the last batches starts all codebooks at once. A codec that comes with codebooks uses them at once,
            and starts what is new then.
        codebook_pool: latents to start the codebooks from, at least (as far as batches have come).
        discriminator_from: step from which the discriminator takes part.
        discriminator_probability: share of the steps in which it learns; under 1 it is held back when it gets too good.
        fade_reconstruction: steps between which the spectral and the waveform loss lose their weight, so that the
            discriminator alone teaches in the end (as the released codec was trained); None: never.
        bypass_rate: share of the clips whose latents are not quantized (Moshi paper 3.3.3).
        quantizer_dropout: use a random number of acoustic codebooks in each step.
        num_samples: validation clips written to the run folder as sound and picture.
        seed: of the random choices above.

    Raises:
        ValueError: for settings with which nothing could be learnt.
    """

    monitor = "val/mel"
    net: Mimi

    def __init__(
        self,
        net: Callable[[], Mimi],
        *,
        discriminator: Callable[[], Discriminator] | None = None,
        teacher: Callable[[], Teacher] | None = None,
        train: Trained = "all",
        spectral_loss: Callable[[int], SpectralLoss] = LogMelLoss,
        loss_weights: CodecLossWeights = _WEIGHTS,
        gradients: Literal["balanced", "summed"] = "balanced",
        generator_optimizer: OptimizerCallable = AdamW,
        discriminator_optimizer: OptimizerCallable = AdamW,
        warmup_steps: int = 100,
        final_lr: float = 0.03,
        transformer_decay: float = 0.05,
        clip: float | None = 10.0,
        accumulate: int = 1,
        weight_norm: bool = True,
        quantize_from: int = 0,
        codebook_pool: int = 20_000,
        discriminator_from: int = 0,
        discriminator_probability: float = 1.0,
        fade_reconstruction: tuple[int, int] | None = None,
        bypass_rate: float = 0.5,
        quantizer_dropout: bool = True,
        num_samples: int = 4,
        seed: int = 0,
    ):
        super().__init__(net)
        self.automatic_optimization = False
        if accumulate < 1:
            raise ValueError(f"accumulate is {accumulate}; it must be 1 or more")
        if not 0 < discriminator_probability <= 1:
            raise ValueError(
                f"discriminator_probability is {discriminator_probability}; it must be above 0 and at most 1"
            )
        judged = discriminator is not None and (loss_weights.adversarial or loss_weights.feature)
        if not (loss_weights.spectral or loss_weights.waveform or (judged and discriminator_from == 0)):
            raise ValueError(
                "nothing teaches the codec's output at the start: set loss_weights.spectral or .waveform above 0, or "
                "give it a discriminator with discriminator_from 0"
            )
        if fade_reconstruction and not (judged and discriminator_from <= fade_reconstruction[1]):
            raise ValueError(
                f"after fade_reconstruction {list(fade_reconstruction)} nothing teaches the codec's output: give it a "
                f"discriminator, with discriminator_from (which is {discriminator_from}) before the end of the fade"
            )
        if "quantizer" in frozen_parts(train) and teacher is not None and loss_weights.distillation:
            raise ValueError(
                f"train is {train}: nothing of the semantic codebook changes; leave the teacher out (null)"
            )
        self.train_parts: Trained = train
        self.make_discriminator, self.make_teacher, self.make_spectral_loss = discriminator, teacher, spectral_loss
        self.loss_weights = loss_weights
        self.objective = CodecObjective(loss_weights, gradients, fade_reconstruction=fade_reconstruction)
        self.make_optimizers = generator_optimizer, discriminator_optimizer
        self.warmup_steps, self.final_lr, self.transformer_decay = warmup_steps, final_lr, transformer_decay
        self.accumulate, self.weight_norm = accumulate, weight_norm
        self.discriminator_from, self.num_samples = discriminator_from, num_samples
        self.draws = CodecDraws(
            seed=seed,
            quantizer_dropout=quantizer_dropout,
            bypass_rate=bypass_rate,
            discriminator_probability=discriminator_probability,
        )
        self.codebooks = CodebookLearning(
            quantize_from=quantize_from, pool=codebook_pool, seed=seed, keep=kept_codebooks(train)
        )
        self.generator_step = GuardedStep("codec", clip=clip)
        self.adversary_step = GuardedStep("discriminator", clip=clip)

    def configure_model(self) -> None:
        """Make the codec, its adversary and its teacher."""
        if "net" in self._modules:
            return
        super().configure_model()
        net = self.net
        freeze(net, self.train_parts)
        for name in ("encoder", "decoder"):
            # Not where frozen: lengths times directions are not to the bit what the weights were.
            if self.weight_norm and name not in frozen_parts(self.train_parts):
                add_weight_norm(getattr(net, name))
        self.discriminator = self.make_discriminator() if self.make_discriminator else None
        self.spectral_loss = self.make_spectral_loss(net.sample_rate)
        self.distillation = None
        if self.make_teacher and self.loss_weights.distillation:
            width = net.downsample.out_channels
            self.distillation = Distillation(self.make_teacher(), width, sample_rate=net.sample_rate)
        self.validation = CodecValidation(net)

    @property
    def is_complete(self) -> bool:
        """Unquantized, or with few codebooks, a codec may sound better than it ever will with those to come."""
        return self.net.quantizer.is_initialized

    def configure_callbacks(self) -> list[Callback]:
        """Every run is watched."""
        return [CodecAlarms()]

    def on_fit_start(self) -> None:
        """Show the teacher the recordings, in case it wants to see them all."""
        recordings = getattr(getattr(self.trainer, "datamodule", None), "recordings", None)
        if self.distillation is not None and recordings is not None:
            self.distillation.prepare(recordings, self.device)

    def configure_optimizers(self) -> Any:
        """AdamW or what the recipe says, for the codec and for the discriminator, with one schedule each.

        Raises:
            ValueError: in half precision.
        """
        self.refuse_half_precision()
        others = self.distillation.parameters() if self.distillation else ()
        groups = parameter_groups(self.net, others, transformer_decay=self.transformer_decay)
        optimizers = [self.make_optimizers[0](groups)]
        total = optimizer_steps(self.trainer, accumulate=self.accumulate)
        totals = [total]
        if self.discriminator is not None:
            # No decay: it would shrink the lengths of weight norm.
            group = {"params": list(self.discriminator.parameters()), "weight_decay": 0.0}
            optimizers.append(self.make_optimizers[1]([group]))
            totals.append(round((total - self.discriminator_from) * self.draws.discriminator_probability))
        shape = {"warmup_steps": self.warmup_steps, "final": self.final_lr}
        return optimizers, [
            WarmupCosine(optimizer, steps, **shape) for optimizer, steps in zip(optimizers, totals, strict=True)
        ]

    def on_train_start(self) -> None:
        """Look whether there is what shall stay.

        Raises:
            ValueError: if it is not, or if codebooks shall be added and none are new.
        """
        started, num_codebooks = self.net.quantizer.num_started, self.net.num_codebooks
        kept = self.codebooks.begin(self.net.quantizer)
        is_bare = self.train_parts != "all" and not (started or self.parents)
        adds = self.train_parts == "decoder_and_new_codebooks"
        if is_bare or kept > started or (adds and not 0 < kept < num_codebooks):
            raise ValueError(
                f"train is {self.train_parts}, but {started} of the codec's {num_codebooks} codebooks have been "
                f"trained: start it with --init_from.net MODEL{' of a model with fewer of them' if adds else ''}"
            )

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """One step of both networks, or a batch's share of it.

        Raises:
            ValueError: if the segments are no whole frames, or the training has broken down.
        """
        generator, *adversary = self.counting_optimizers()
        schedule, *adversary_schedule = [config.scheduler for config in self.trainer.lr_scheduler_configs]
        step, wav = self.global_step, self._whole_frames(batch["wav"])
        place = place_of(batch_idx, self.trainer, accumulate=self.accumulate)
        output = self._forward(wav, step, place)
        self.codebooks.see(output, self.net.quantizer)
        judge = self.discriminator if step >= self.discriminator_from else None
        logged: dict[str, Tensor] = {}
        if judge is not None and place.is_last:
            logged["grad_norm_discriminator"] = wav.new_zeros(())
        if judge is not None and self.draws.discriminator_learns(step):
            with adversary[0].toggle_model(sync_grad=place.is_last):
                loss = discriminator_loss(judge(wav).logits, judge(output.wav.detach()).logits)
                self.manual_backward(loss / place.size)
            if place.is_last:
                logged["grad_norm_discriminator"] = self.adversary_step(adversary[0], adversary_schedule[0]).norm
        with generator.toggle_model(sync_grad=place.is_last):
            losses = self.losses(output, batch, judge)
            objective = self.objective(losses, output.wav, step=step)
            self.manual_backward(objective.loss / place.size)
        logged |= losses | {f"share_{name}": share for name, share in objective.shares.items()}
        self.log("train/lr", generator.param_groups[0]["lr"])
        if place.is_last:
            outcome = self.generator_step(generator, schedule)
            logged["grad_norm_generator"] = outcome.norm
            if outcome.is_made:
                self.codebooks.learn(self.net.quantizer, step, self.trainer.strategy.all_gather)
            else:
                self.codebooks.skip()
        self._log(logged)

    def losses(
        self, output: MimiOutput, batch: Mapping[str, Tensor], judge: Discriminator | None = None
    ) -> dict[str, Tensor]:
        """All unweighted loss terms of the codec, and what is measured on the way.

        Args:
            output: of the codec.
            batch: ``wav`` [B, 1, S] and ``num_samples`` [B].
            judge: the discriminator, if it takes part.
        """
        wav = batch["wav"]
        losses = {"spectral": self.spectral_loss(output.wav, wav)}
        if self.loss_weights.waveform:
            losses["waveform"] = F.l1_loss(output.wav, wav)
        if judge is not None:
            fake = judge(output.wav)
            with torch.no_grad():
                real = judge(wav)
            losses["adversarial"] = generator_loss(fake.logits)
            losses["feature"] = feature_matching_loss(real.maps, fake.maps)
            losses |= verdict(real, fake)
        if output.quantized is not None:
            losses["commitment"] = output.quantized.commitment_loss
        if self.distillation is not None:
            losses |= self.distillation(output.semantic, batch, self._mean_over_processes)
        return losses

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Measure reconstructions with all codebooks; keep the first clips to hear and see."""
        wav, n = batch["wav"], self.num_samples
        decoded = self.validation.measure(self.net, wav)
        if n and batch_idx == 0 and self.trainer.is_global_zero and not self.trainer.sanity_checking:
            show_clips(self, self.net, wav[:n], decoded[:n])

    def on_validation_epoch_end(self) -> None:
        """Log what was measured."""
        values = self.validation.finish(self, self.net)
        self.log_dict({f"val/{name}": value for name, value in values.items()}, sync_dist=True)

    def may_start_new(self, name: str) -> bool:
        """Codebooks, where they are to be added to those of the codec to start from."""
        owner, _, _ = name.rpartition(".")
        return self.train_parts == "decoder_and_new_codebooks" and isinstance(self.net.get_submodule(owner), Codebook)

    def zoo_weights(self) -> dict[str, Tensor]:
        """Plain weights: weight norm folded."""
        return folded_state_dict(self.net)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what the codebooks will start from."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["codebooks"] = self.codebooks.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore it."""
        super().on_load_checkpoint(checkpoint)
        self.codebooks.load_state_dict(checkpoint["codebooks"])

    def _whole_frames(self, wav: Tensor) -> Tensor:
        frame, rate = self.net.frame_size, self.net.sample_rate
        if wav.shape[-1] % frame:
            fitting = max(round(wav.shape[-1] / frame), 1) * frame / rate
            raise ValueError(
                f"segments have {wav.shape[-1]} samples, which are no whole frames of {frame}: "
                f"set data.seconds to {fitting:g} instead of {wav.shape[-1] / rate:g}"
            )
        return wav

    def _forward(self, wav: Tensor, step: int, place: Place) -> MimiOutput:
        """Pass the codec with the step's number of codebooks, and this batch's part of the bypassed clips."""
        bypassed = self.draws.bypassed(step, self.accumulate, self.trainer.world_size, len(wav))
        bypass = torch.from_numpy(bypassed[place.index, self.global_rank]).to(wav.device)
        return self.net(wav, self.draws.num_codebooks(step, most=self.net.num_codebooks), bypass)

    def _log(self, values: Mapping[str, Tensor]) -> None:
        """Log means over all processes, in one message."""
        means = self._mean_over_processes(torch.stack([value.detach().float() for value in values.values()]))
        for name, mean in zip(values, means, strict=True):
            self.log(f"train/{name}", mean, prog_bar=name in _IN_PROGRESS_BAR)

    def _mean_over_processes(self, x: Tensor) -> Tensor:
        return self.trainer.strategy.reduce(x.clone(), reduce_op="mean")
