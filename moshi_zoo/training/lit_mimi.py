"""Training of the Mimi codec (Moshi paper 3.3.3): generator and discriminator, reconstruction, distillation, codebooks.

The order of a step is audiocraft's: codec forward, discriminator step on the detached output, then the codec's losses
through the discriminator just updated.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.optim import AdamW

from moshi_zoo.losses.adversarial import discriminator_loss, feature_matching_loss, generator_loss
from moshi_zoo.losses.balancer import GradientBalancer
from moshi_zoo.losses.distillation import constant_prediction_cosine, cosine_distillation_loss
from moshi_zoo.losses.spectral import LogMelLoss, SpectralLoss
from moshi_zoo.metrics.codec import CodebookUse, CodecMetrics
from moshi_zoo.metrics.pictures import codebook_picture, spectrogram_picture
from moshi_zoo.models.mimi import Mimi, MimiOutput
from moshi_zoo.modules.conv import add_weight_norm, folded_state_dict
from moshi_zoo.modules.discriminator import Discriminator
from moshi_zoo.modules.teacher import Teacher
from moshi_zoo.training.samples import log_audio, log_picture
from moshi_zoo.training.schedule import warmup_cosine
from moshi_zoo.training.stage import Stage


@dataclass(frozen=True)
class CodecLossWeights:
    """Weights of the codec's losses; 0 leaves one out.

    Those of the waveform (adversarial, feature, spectral, waveform) are shares of the gradient when they are balanced,
    plain factors when they are not; the other two are always factors.

    Args:
        adversarial: being taken for real.
        feature: distance of the discriminator's feature maps.
        spectral: the reconstruction loss on spectrograms.
        waveform: L1 of the samples.
        commitment: distance of the latents from their codebook entries.
        distillation: distance of the semantic codebook from the teacher.
    """

    adversarial: float = 4.0
    feature: float = 4.0
    spectral: float = 2.0
    waveform: float = 0.1
    commitment: float = 1.0
    distillation: float = 1.0


class LitMimi(Stage):
    """Trains a codec on segments of speech.

    Args:
        net: the codec.
        discriminator: judges recordings and reconstructions; None: reconstruction losses alone.
        teacher: what the semantic codebook shall know; None: no distillation.
        spectral_loss: the reconstruction loss, made for a sample rate.
        loss_weights: of all losses.
        gradients: ``balanced`` scales each waveform loss by the norm of its gradient; ``summed`` adds them plainly.
        generator_optimizer: of the codec (and the distillation's projection).
        discriminator_optimizer: of the discriminator.
        warmup_steps: of both learning rates.
        final_lr: share of the peak learning rate at the end of the run (cosine); 1 holds it.
        transformer_decay: weight decay of the transformers' matrices; all else has none.
        clip: largest gradient norm of each network; None: unlimited.
        accumulate: batches per optimizer step.
        weight_norm: train convolutions as direction and length; saved weights are plain all the same.
        quantize_from: step from which the latents are quantized. Before it they pass through; then k-means over the last
            batches starts all codebooks at once.
        codebook_pool: latents to start the codebooks from, at least (as far as batches have come).
        discriminator_from: step from which the discriminator takes part.
        discriminator_every: train it every so many steps.
        bypass_rate: share of the clips whose latents are not quantized (Moshi paper 3.3.3).
        quantizer_dropout: use a random number of acoustic codebooks in each batch.
        num_samples: validation clips written to the run folder as sound and picture.
        seed: of the random choices above.
    """

    monitor = "val/mel"

    def __init__(
        self,
        net: Callable[[], Mimi],
        *,
        discriminator: Callable[[], Discriminator] | None = None,
        teacher: Callable[[], Teacher] | None = None,
        spectral_loss: Callable[[int], SpectralLoss] = LogMelLoss,
        loss_weights: CodecLossWeights = CodecLossWeights(),
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
        discriminator_every: int = 1,
        bypass_rate: float = 0.5,
        quantizer_dropout: bool = True,
        num_samples: int = 4,
        seed: int = 0,
    ):
        super().__init__(net)
        self.automatic_optimization = False
        self.make_discriminator, self.make_teacher, self.make_spectral_loss = discriminator, teacher, spectral_loss
        self.loss_weights, self.gradients = loss_weights, gradients
        self.make_optimizers = generator_optimizer, discriminator_optimizer
        self.warmup_steps, self.final_lr, self.transformer_decay = warmup_steps, final_lr, transformer_decay
        self.clip, self.accumulate, self.weight_norm = clip, accumulate, weight_norm
        self.quantize_from, self.codebook_pool = quantize_from, codebook_pool
        self.discriminator_from, self.discriminator_every = discriminator_from, discriminator_every
        self.bypass_rate, self.quantizer_dropout = bypass_rate, quantizer_dropout
        self.num_samples, self.seed = num_samples, seed
        self._latents: list[Tensor] = []  # of the last batches, each [N, C]: where the codebooks will start

    def configure_model(self) -> None:
        """Make the codec, its adversary and its teacher."""
        if "net" in self._modules:
            return
        super().configure_model()
        net = self.codec
        if self.weight_norm:
            add_weight_norm(net.encoder)
            add_weight_norm(net.decoder)
        self.discriminator = self.make_discriminator() if self.make_discriminator else None
        self.spectral_loss = self.make_spectral_loss(net.sample_rate)
        self.balancer = GradientBalancer(("adversarial", "feature", "spectral", "waveform"))
        teacher = self.make_teacher().eval() if self.make_teacher else None
        self._teacher = [teacher]  # in a list: frozen, so neither in checkpoints nor in optimizers
        dim = net.downsample.out_channels
        self.teacher_proj = nn.Linear(dim, teacher.dim, bias=False) if teacher else None
        self.metrics = CodecMetrics(net.sample_rate)
        self.codebook_use = CodebookUse(net.num_codebooks, net.codebook_size, frame_rate=net.frame_rate)

    @property
    def codec(self) -> Mimi:
        """The network."""
        return self.net

    def configure_optimizers(self) -> Any:
        """AdamW or what the recipe says, for the codec and for the discriminator, with one schedule each."""
        decayed = [
            weight
            for transformer in (self.codec.encoder_transformer, self.codec.decoder_transformer)
            if transformer is not None
            for weight in transformer.parameters()
            if weight.dim() > 1
        ]
        known = set(map(id, decayed))
        rest = [p for p in self.codec.parameters() if id(p) not in known]
        rest += list(self.teacher_proj.parameters()) if self.teacher_proj is not None else []
        groups = [
            {"params": rest, "weight_decay": 0.0},
            {"params": decayed, "weight_decay": self.transformer_decay},
        ]
        optimizers = [self.make_optimizers[0]([group for group in groups if group["params"]])]
        if self.discriminator is not None:
            optimizers.append(self.make_optimizers[1](self.discriminator.parameters()))
        total = int(self.trainer.estimated_stepping_batches) if self.trainer.max_steps > 0 else 0
        settings = {"warmup_steps": self.warmup_steps, "total_steps": total, "final": self.final_lr}
        return optimizers, [warmup_cosine(optimizer, **settings) for optimizer in optimizers]

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """One step of both networks."""
        generator, *adversary = self.counting_optimizers()
        step, wav = self.global_step, batch["wav"]
        last = (batch_idx + 1) % self.accumulate == 0
        output = self._forward(wav, step)
        adversarial = self.discriminator is not None and step >= self.discriminator_from
        if adversarial and step % self.discriminator_every == 0:
            self.toggle_optimizer(adversary[0])
            self._discriminator_step(adversary[0], wav, output.wav.detach(), last=last)
            self.untoggle_optimizer(adversary[0])
        self.toggle_optimizer(generator)
        losses = self.losses(output, batch, adversarial=adversarial)
        self.manual_backward(self._objective(losses, output.wav) / self.accumulate)
        if last:
            self._optimize(generator, "generator")
        self.untoggle_optimizer(generator)
        if output.quantized is not None:
            self.codec.quantizer.update(output.quantized.codes, output.seen or [], seed=self.seed + step)
        if last:
            for scheduler in self.lr_schedulers():
                scheduler.step()
        self.log_dict({f"train/{name}": value for name, value in losses.items()}, prog_bar=False)
        self.log("train/loss", losses["spectral"], prog_bar=True, logger=False)
        self.log("train/lr", generator.param_groups[0]["lr"])

    def losses(self, output: MimiOutput, batch: Mapping[str, Tensor], *, adversarial: bool) -> dict[str, Tensor]:
        """All unweighted loss terms of the codec.

        Args:
            output: of the codec.
            batch: ``wav`` [B, 1, S] and ``num_samples`` [B].
            adversarial: whether the discriminator takes part.
        """
        wav, weights = batch["wav"], self.loss_weights
        losses = {"spectral": self.spectral_loss(output.wav, wav)}
        if weights.waveform:
            losses["waveform"] = F.l1_loss(output.wav, wav)
        if adversarial:
            fake = self.discriminator(output.wav)
            with torch.no_grad():
                real = self.discriminator(wav)
            losses["adversarial"] = generator_loss(fake.logits)
            losses["feature"] = feature_matching_loss(real.maps, fake.maps)
        if output.quantized is not None:
            losses["commitment"] = output.quantized.commitment_loss
            if self.teacher_proj is not None:
                losses |= self._distillation(output.quantized.semantic, batch)
        return losses

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Measure reconstructions with all codebooks; keep the first clips to hear and see."""
        wav = batch["wav"]
        decoded, codes = self._reconstruct(wav)
        self.metrics.update(decoded, wav)
        if codes is not None:
            self.codebook_use.update(codes)
        if batch_idx == 0:
            self._show(wav[: self.num_samples], decoded[: self.num_samples])

    def on_validation_epoch_end(self) -> None:
        """Log the metrics."""
        self.log_dict({f"val/{name}": value for name, value in self.metrics.compute().items()}, sync_dist=False)
        self.metrics.reset()
        if self.codec.quantizer.is_initialized:
            use = self.codebook_use.compute()
            for level, (used, perplexity) in enumerate(zip(use["used"], use["perplexity"], strict=True)):
                self.log(f"val/used_{level}", used)
                self.log(f"val/perplexity_{level}", perplexity)
            self.log("val/bitrate", use["bitrate"])
            log_picture(self, "codebooks", codebook_picture(self.codebook_use.counts))
        self.codebook_use.reset()

    def zoo_weights(self) -> dict[str, Tensor]:
        """Plain weights: weight norm folded."""
        return folded_state_dict(self.codec)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the latents the codebooks will start from."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["latents"] = list(self._latents)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore them."""
        super().on_load_checkpoint(checkpoint)
        self._latents = list(checkpoint.get("latents", []))

    def _forward(self, wav: Tensor, step: int) -> MimiOutput:
        """Start the codebooks when it is time, and draw the step's bypass and number of codebooks."""
        quantizer = self.codec.quantizer
        if quantizer.is_initialized:
            draw = torch.Generator().manual_seed(self.seed + step)  # alike on all processes, and after a resume
            low = min(2, quantizer.num_codebooks)
            dropped = int(torch.randint(low, quantizer.num_codebooks + 1, (), generator=draw))
            draw.manual_seed(self.seed + step + 7919 * (self.global_rank + 1))
            bypass = (torch.rand(len(wav), generator=draw) < self.bypass_rate).to(wav.device)
            return self.codec(wav, dropped if self.quantizer_dropout else None, bypass)
        output = self.codec(wav)
        self._latents.append(output.latent.detach().transpose(1, 2).flatten(0, 1))  # [B, C, T] -> [B T, C]
        while sum(map(len, self._latents[1:])) >= self.codebook_pool:
            self._latents.pop(0)
        if step >= self.quantize_from:
            quantizer.initialize(torch.cat([x.to(wav.device) for x in self._latents]), seed=self.seed)
            self._latents.clear()
        return output

    def _objective(self, losses: Mapping[str, Tensor], wav: Tensor) -> Tensor:
        weights = asdict(self.loss_weights)
        of_wav = {name: losses[name] for name in self.balancer.names if name in losses}
        beside = sum(weights[name] * losses[name] for name in ("commitment", "distillation") if name in losses)
        if self.gradients == "summed":
            return sum((weights[name] * loss for name, loss in of_wav.items()), start=beside)
        balanced = self.balancer(of_wav, {name: weights[name] for name in of_wav}, wav)
        self.log_dict({f"train/share_{name}": share for name, share in balanced.ratios.items()})
        return (wav * balanced.gradient).sum() + beside

    def _discriminator_step(self, optimizer: Any, real: Tensor, fake: Tensor, *, last: bool) -> None:
        a, b = self.discriminator(real), self.discriminator(fake)
        loss = discriminator_loss(a.logits, b.logits)
        self.manual_backward(loss / self.accumulate)
        if last:
            self._optimize(optimizer, "discriminator")
        right = torch.stack(
            [((x > 0).float().mean() + (y < 0).float().mean()) / 2 for x, y in zip(a.logits, b.logits, strict=True)]
        )
        self.log_dict({"train/discriminator": loss, "train/discriminator_accuracy": right.mean()})

    def _optimize(self, optimizer: Any, name: str) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = nn.utils.clip_grad_norm_(parameters, self.clip if self.clip is not None else float("inf"))
        self.log(f"train/grad_norm_{name}", norm)
        if torch.isfinite(norm):  # one broken clip shall not cost the run
            optimizer.step()
        optimizer.zero_grad()

    def _distillation(self, semantic: Tensor, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        (teacher,) = self._teacher
        with torch.no_grad():
            target = teacher.to(self.device)(batch["wav"], self.codec.sample_rate)  # [B, D, T]
        student = self.teacher_proj(semantic.transpose(1, 2)).transpose(1, 2)
        frames = torch.arange(target.shape[-1], device=target.device) * self.codec.frame_size
        mask = frames[None] < batch["num_samples"][:, None]
        self.log("train/constant_cosine", constant_prediction_cosine(target, mask))
        return {"distillation": cosine_distillation_loss(student, target, mask)}

    def _reconstruct(self, wav: Tensor, num_codebooks: int | None = None) -> tuple[Tensor, Tensor | None]:
        if not self.codec.quantizer.is_initialized:
            return self.codec(wav).wav[..., : wav.shape[-1]], None
        codes = self.codec.encode(wav, num_codebooks)
        return self.codec.decode(codes)[..., : wav.shape[-1]], codes

    def _show(self, wav: Tensor, decoded: Tensor) -> None:
        rate, quantized = self.codec.sample_rate, self.codec.quantizer.is_initialized
        semantic = self._reconstruct(wav, 1)[0] if quantized else None
        for i in range(len(wav)):
            rows = {
                "original": wav[i, 0],
                f"{self.codec.num_codebooks} codebooks" if quantized else "unquantized": decoded[i, 0],
            }
            if semantic is not None:
                rows["1 codebook"] = semantic[i, 0]
            log_audio(self, f"{i}_original", wav[i], rate)
            log_audio(self, f"{i}_decoded", decoded[i], rate)
            log_picture(self, f"{i}_spectrogram", spectrogram_picture(rows, rate))
