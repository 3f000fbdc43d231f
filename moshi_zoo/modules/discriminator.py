"""Discriminators: networks that tell a codec's output from a recording, at training time only.

Another kind is one more subclass of `Discriminator` with a registered name.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import is_parametrized

from moshi_zoo.registry import register
from moshi_zoo.spectrogram import STFT


@dataclass
class DiscriminatorOutput:
    """Verdicts and their reasons.

    Args:
        logits: one per sub-discriminator, any shape; high means "a recording".
        maps: feature maps by sub-discriminator and layer, without the logits.
    """

    logits: list[Tensor]
    maps: list[list[Tensor]]


class Discriminator(nn.Module, ABC):
    """Judges waveforms ``[B, 1, S]``."""

    @abstractmethod
    def forward(self, wav: Tensor) -> DiscriminatorOutput:
        """Logits and feature maps of every sub-discriminator."""


@register(
    "stft",
    presets={
        "full": {
            "sample_rate": 24000,
            "num_filters": 32,
            "n_ffts": [1024, 2048, 512, 256, 128],
            "overlap": 4,
            "max_hz": None,
            "negative_slope": 0.3,
        },
        # What a CPU can pay for: full costs over 200 times as much.
        "nano": {
            "sample_rate": 24000,
            "num_filters": 8,
            "n_ffts": [1024],
            "overlap": 2,
            "max_hz": 4200.0,
            "negative_slope": 0.3,
        },
        "tiny": {
            "sample_rate": 24000,
            "num_filters": 2,
            "n_ffts": [256, 128],
            "overlap": 4,
            "max_hz": 8000.0,
            "negative_slope": 0.3,
        },
    },
)
class MultiScaleSTFTDiscriminator(Discriminator):
    """Multi-scale STFT discriminator (EnCodec, arXiv 2210.13438, 3.4; Moshi paper 3.3.2), equal to audiocraft's.

    Args:
        sample_rate: of the waveform, in Hz.
        num_filters: channels of every layer.
        n_ffts: transform and window size of each sub-discriminator.
        overlap: windows over each sample; a window hops by n_fft / overlap.
        max_hz: bins above are dropped; None keeps all. Set it to what the recordings contain, or the empty band alone
            betrays the codec.
        negative_slope: of the leaky ReLUs.
    """

    def __init__(
        self,
        sample_rate: int = 24000,
        num_filters: int = 32,
        n_ffts: Sequence[int] = (1024, 2048, 512, 256, 128),
        *,
        overlap: int = 4,
        max_hz: float | None = None,
        negative_slope: float = 0.3,
    ) -> None:
        super().__init__()
        band = 1.0 if max_hz is None else 2 * max_hz / sample_rate
        if not 0 < band <= 1:
            raise ValueError(f"max_hz {max_hz} must lie between 0 and half the sample rate, {sample_rate / 2}")
        self.scales = nn.ModuleList(
            STFTDiscriminator(
                n_fft,
                num_filters,
                hop=n_fft // overlap,
                num_bins=int(band * n_fft / 2) + 1,
                negative_slope=negative_slope,
            )
            for n_fft in n_ffts
        )

    def forward(self, wav: Tensor) -> DiscriminatorOutput:
        """Logits ``[B, 1, T, F / 8]`` and five maps ``[B, C, T, F']`` for each transform size."""
        output = DiscriminatorOutput([], [])
        for scale in self.scales:
            logits, maps = scale(wav)
            output.logits.append(logits)
            output.maps.append(maps)
        return output


class STFTDiscriminator(nn.Module):
    """One scale: 2-d convolutions over a complex spectrogram, real and imaginary parts as two channels.

    Args:
        n_fft: transform and window size.
        num_filters: channels of every layer.
        hop: samples from frame to frame.
        num_bins: lowest bins that it sees.
        negative_slope: of the leaky ReLUs.
    """

    def __init__(self, n_fft: int, num_filters: int, *, hop: int, num_bins: int, negative_slope: float) -> None:
        super().__init__()
        self.num_bins = num_bins
        self.negative_slope = negative_slope
        self.stft = STFT(n_fft, hop=hop, scale="energy", padding="none")
        self.convs = nn.ModuleList(
            [
                # Upstream left this one without weight norm.
                nn.Conv2d(2, num_filters, (3, 9), padding=(1, 4)),
                *(
                    WeightNormConv2d(
                        num_filters, num_filters, (3, 9), stride=(1, 2), dilation=(dilation, 1), padding=(dilation, 4)
                    )
                    for dilation in (1, 2, 4)
                ),
                WeightNormConv2d(num_filters, num_filters, (3, 3), padding=(1, 1)),
            ]
        )
        self.to_logits = WeightNormConv2d(num_filters, 1, (3, 3), padding=(1, 1))

    def forward(self, wav: Tensor) -> tuple[Tensor, list[Tensor]]:
        """``[B, 1, S]`` -> logits ``[B, 1, T, F / 8]`` and the maps after each activation."""
        spectrum = self.stft(wav[:, 0])[:, : self.num_bins]  # [B, S] -> [B, F, T]
        # Channels come last in memory: half the time of the other layout on a CPU.
        x = torch.view_as_real(spectrum.mT.contiguous()).permute(0, 3, 1, 2)  # [B, F, T] -> [B, 2, T, F]
        maps = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), self.negative_slope)
            maps.append(x)
        return self.to_logits(x), maps


class WeightNormConv2d(nn.Conv2d):
    """Convolution whose weight is g v / |v|, the norm taken per output channel."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        *,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int],
        dilation: tuple[int, int] = (1, 1),
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, padding=padding, dilation=dilation)
        weight_norm(self)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, F] -> [B, C', T, F']."""
        step, T = int(self.dilation[0]), x.shape[2]
        if x.is_cuda or step == 1:
            return super().forward(x)
        # Every step-th frame by itself, without dilation: the same sums in half the time on a CPU.
        x = F.pad(x, (0, 0, 0, -T % step)).permute(0, 2, 3, 1)  # [B, T, F, C]
        x = x.unflatten(1, (-1, step)).transpose(1, 2).flatten(0, 1)  # [B step, T / step, F, C]
        padding = int(self.padding[0]) // step, int(self.padding[1])
        y = F.conv2d(x.permute(0, 3, 1, 2), self.weight, self.bias, self.stride, padding)
        y = y.permute(0, 2, 3, 1).unflatten(0, (-1, step)).transpose(1, 2).flatten(1, 2)  # [B, T, F', C']
        return y.permute(0, 3, 1, 2)[:, :, :T]

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """PyTorch's default for convolutions, split into g and v."""
        if not is_parametrized(self):
            super().reset_parameters()
            return
        weight = torch.empty_like(self.weight)
        nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
        self.weight = weight  # the parametrization splits it
        assert self.bias is not None
        bound = 1 / math.sqrt(weight[0].numel())
        nn.init.uniform_(self.bias, -bound, bound)
