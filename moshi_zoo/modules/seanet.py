"""SEANet encoder and decoder (Tagliasacchi et al. 2020; Moshi paper 3.3.1), causal and streaming.

Layers have the released Mimi's order, so that its weights map by index (spec of the layout: ``zoo/convert.py``).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod

from torch import Tensor, nn

from moshi_zoo.modules.conv import CausalConv1d, CausalConvTranspose1d
from moshi_zoo.modules.streaming import ChainState, State, StreamingSequential
from moshi_zoo.registry import register


class Encoder(nn.Module, ABC):
    """Waveform -> latent at a lower rate: [B, 1, S] -> [B, dim, S / hop]."""

    hop: int

    @abstractmethod
    def init_state(self, batch_size: int) -> State:
        """The state before the first sample."""

    @abstractmethod
    def forward(self, wav: Tensor, state: State | None = None) -> Tensor:
        """[B, 1, S] -> [B, dim, S / hop]; S must be a multiple of the hop."""


class Decoder(nn.Module, ABC):
    """Latent -> waveform: [B, dim, T] -> [B, 1, T hop]."""

    hop: int

    @abstractmethod
    def init_state(self, batch_size: int) -> State:
        """The state before the first frame."""

    @abstractmethod
    def forward(self, latent: Tensor, state: State | None = None) -> Tensor:
        """[B, dim, T] -> [B, 1, T hop]."""


class ResidualBlock(nn.Module):
    """x + conv1(ELU(conv3(ELU(x)))), the middle narrower by ``compress``."""

    def __init__(self, dim: int, *, kernel_size: int, dilation: int, compress: int):
        super().__init__()
        hidden = dim // compress
        self.layers = StreamingSequential(
            nn.ELU(),
            CausalConv1d(dim, hidden, kernel_size, dilation=dilation),
            nn.ELU(),
            CausalConv1d(hidden, dim, 1, gain=0.4 * 1.2),  # a quiet branch: the stack starts near the identity
        )

    def init_state(self, batch_size: int) -> ChainState:
        """The state before the first sample."""
        return self.layers.init_state(batch_size)

    def forward(self, x: Tensor, state: ChainState | None = None) -> Tensor:
        """[B, C, S] -> [B, C, S]."""
        return x + self.layers(x, state)


@register("seanet-encoder")
class SEANetEncoder(Encoder):
    """Residual blocks between strided convolutions that double the channels.

    Args:
        dim: width of the latent.
        num_filters: channels at the sample rate.
        ratios: strides in the *decoder's* order (8, 6, 5, 4 is Mimi), as every published configuration has them.
        kernel_size: of the first convolution.
        last_kernel_size: of the last one.
        residual_kernel_size: of the residual blocks.
        num_residual_layers: blocks between two strides, dilated by ``dilation_base`` to the power of their index.
        compress: how much narrower a residual block is inside.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_filters: int = 64,
        ratios: Sequence[int] = (8, 6, 5, 4),
        kernel_size: int = 7,
        last_kernel_size: int = 3,
        residual_kernel_size: int = 3,
        num_residual_layers: int = 1,
        dilation_base: int = 2,
        compress: int = 2,
    ):
        super().__init__()
        self.hop = prod(ratios)
        width = num_filters
        layers: list[nn.Module] = [CausalConv1d(1, width, kernel_size)]
        for ratio in reversed(ratios):
            layers += _residual_blocks(width, residual_kernel_size, num_residual_layers, dilation_base, compress)
            layers += [nn.ELU(), CausalConv1d(width, 2 * width, 2 * ratio, stride=ratio)]
            width *= 2
        layers += [nn.ELU(), CausalConv1d(width, dim, last_kernel_size)]
        self.layers = StreamingSequential(*layers)

    def init_state(self, batch_size: int) -> ChainState:
        """The state before the first sample."""
        return self.layers.init_state(batch_size)

    def forward(self, wav: Tensor, state: ChainState | None = None) -> Tensor:
        """[B, 1, S] -> [B, dim, S / hop]."""
        return self.layers(wav, state)


@register("seanet-decoder")
class SEANetDecoder(Decoder):
    """The encoder's mirror, with transposed convolutions; arguments as there. The output is not squashed."""

    def __init__(
        self,
        dim: int,
        *,
        num_filters: int = 64,
        ratios: Sequence[int] = (8, 6, 5, 4),
        kernel_size: int = 7,
        last_kernel_size: int = 3,
        residual_kernel_size: int = 3,
        num_residual_layers: int = 1,
        dilation_base: int = 2,
        compress: int = 2,
    ):
        super().__init__()
        self.hop = prod(ratios)
        width = num_filters * 2 ** len(ratios)
        layers: list[nn.Module] = [CausalConv1d(dim, width, kernel_size)]
        for ratio in ratios:
            layers += [nn.ELU(), CausalConvTranspose1d(width, width // 2, 2 * ratio, stride=ratio)]
            width //= 2
            layers += _residual_blocks(width, residual_kernel_size, num_residual_layers, dilation_base, compress)
        layers += [nn.ELU(), CausalConv1d(width, 1, last_kernel_size)]
        self.layers = StreamingSequential(*layers)

    def init_state(self, batch_size: int) -> ChainState:
        """The state before the first frame."""
        return self.layers.init_state(batch_size)

    def forward(self, latent: Tensor, state: ChainState | None = None) -> Tensor:
        """[B, dim, T] -> [B, 1, T hop]."""
        return self.layers(latent, state)


def _residual_blocks(dim: int, kernel_size: int, num_layers: int, dilation_base: int, compress: int) -> list[nn.Module]:
    return [
        ResidualBlock(dim, kernel_size=kernel_size, dilation=dilation_base**j, compress=compress)
        for j in range(num_layers)
    ]
