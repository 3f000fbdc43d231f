"""From the codec's loss terms to the one scalar that is differentiated: their weights, and how they are added."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from torch import Tensor, nn

from moshi_zoo.losses.balancer import GradientBalancer

_OF_WAVEFORM = ("adversarial", "feature", "spectral", "waveform")  # reach the codec through its output alone
_RECONSTRUCTION = ("spectral", "waveform")


@dataclass(frozen=True)
class CodecLossWeights:
    """Weights of the codec's losses; a loss of weight 0 is at most measured.

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


@dataclass
class Objective:
    """What to differentiate.

    Args:
        loss: scalar; as a number it means nothing when the losses are balanced.
        shares: of each balanced loss in the gradient norms before balancing.
    """

    loss: Tensor
    shares: dict[str, Tensor]


class CodecObjective(nn.Module):
    """Adds up the codec's losses.

    Args:
        weights: of all losses.
        gradients: ``balanced`` scales each waveform loss by the norm of its gradient; ``summed`` adds them plainly.
        fade_reconstruction: steps between which the spectral and the waveform loss lose their weight; None: never.

    Raises:
        ValueError: if the fade ends before it starts.
    """

    def __init__(
        self,
        weights: CodecLossWeights,
        gradients: Literal["balanced", "summed"],
        *,
        fade_reconstruction: tuple[int, int] | None = None,
    ):
        super().__init__()
        if fade_reconstruction and not 0 <= fade_reconstruction[0] < fade_reconstruction[1]:
            raise ValueError(
                f"fade_reconstruction is {list(fade_reconstruction)}; it must be two steps, the second after the first"
            )
        self.fade_reconstruction = fade_reconstruction
        self.weights = {name: weight for name, weight in asdict(weights).items() if weight}
        self.balancer = GradientBalancer(_OF_WAVEFORM) if gradients == "balanced" else None

    def weights_at(self, step: int) -> dict[str, float]:
        """The weights at a step, without those that are 0."""
        if self.fade_reconstruction is None:
            return dict(self.weights)
        start, end = self.fade_reconstruction
        left = min(max((end - step) / (end - start), 0.0), 1.0)
        weights = {name: weight * (left if name in _RECONSTRUCTION else 1.0) for name, weight in self.weights.items()}
        return {name: weight for name, weight in weights.items() if weight}

    def forward(self, losses: Mapping[str, Tensor], wav: Tensor, *, step: int) -> Objective:
        """Combine the losses of a batch.

        Args:
            losses: scalars by name, as many as there are at this step.
            wav: the codec's output [B, 1, S], through which those of the waveform reach it.
            step: of the run.
        """
        weights = {name: weight for name, weight in self.weights_at(step).items() if name in losses}
        if self.balancer is None:
            return Objective(_weighted(losses, weights, start=wav.new_zeros(())), {})
        of_wav = {name: weights.pop(name) for name in _OF_WAVEFORM if name in weights}
        balanced = self.balancer({name: losses[name] for name in of_wav}, of_wav, wav)
        return Objective(_weighted(losses, weights, start=(wav * balanced.gradient).sum()), balanced.ratios)


def _weighted(losses: Mapping[str, Tensor], weights: Mapping[str, float], *, start: Tensor) -> Tensor:
    return sum((weight * losses[name] for name, weight in weights.items()), start=start)
