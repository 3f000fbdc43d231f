"""A codec's outer parts in the frequency domain: STFT in, inverse STFT out (the idea of Vocos, arXiv 2306.00814).

Minutes of training make these intelligible where a small SEANet still hums, so the ``nano`` codecs use them. Causal:
a frame ends with the newest sample on the way in, and starts with the oldest unfinished one on the way out, so the
codec's latency stays one frame and both are streamed like any strided convolution.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from moshi_zoo.modules.conv import CausalConv1d, CausalConvTranspose1d, ConvState, OverlapState, overlap_add
from moshi_zoo.modules.seanet import Decoder, Encoder
from moshi_zoo.modules.streaming import ChainState, State, StreamingSequential
from moshi_zoo.registry import register
from moshi_zoo.spectrogram import magnitude

_FLOOR = 1e-3  # of a magnitude: about the room tone of a clean recording


class ConvNeXtBlock(nn.Module):
    """Depthwise causal convolution and a pointwise perceptron, residual (ConvNeXt, arXiv 2201.03545).

    Args:
        dim: channels.
        kernel_size: of the depthwise convolution.
        expand: width of the perceptron over ``dim``.
        layer_scale: initial weight of the branch.
    """

    def __init__(self, dim: int, *, kernel_size: int = 7, expand: int = 3, layer_scale: float = 0.3):
        super().__init__()
        self.conv = CausalConv1d(dim, dim, kernel_size, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, expand * dim), nn.GELU(), nn.Linear(expand * dim, dim))
        self.layer_scale = layer_scale
        self.scale = nn.Parameter(torch.full((dim,), layer_scale))

    def reset_parameters(self) -> None:
        """The branch starts quiet."""
        nn.init.constant_(self.scale, self.layer_scale)

    def init_state(self, batch_size: int) -> ConvState:
        """The state before the first frame."""
        return self.conv.init_state(batch_size)

    def forward(self, x: Tensor, state: ConvState | None = None) -> Tensor:
        """[B, C, T] -> [B, C, T]."""
        y = self.norm(self.conv(x, state).transpose(1, 2))
        return x + (self.mlp(y) * self.scale).transpose(1, 2)


@dataclass(kw_only=True)
class SpectralEncoderState(State):
    """State of a spectral encoder: the past that its next frames reach into, and its layers."""

    frames: ConvState
    layers: ChainState


@dataclass(kw_only=True)
class SpectralDecoderState(State):
    """State of a spectral decoder: its frames' overlap in samples, and its layers."""

    frames: OverlapState
    layers: ChainState


@register("spectral-encoder")
class SpectralEncoder(Encoder):
    """Log-magnitude spectrogram -> ConvNeXt blocks -> one strided convolution.

    Args:
        dim: width of the latent.
        n_fft: samples of a spectrogram frame.
        frame_hop: samples between two of them.
        stride: spectrogram frames per latent.
        width: channels at the spectrogram's rate.
        num_blocks: ConvNeXt blocks at that rate.
    """

    def __init__(
        self,
        dim: int,
        *,
        n_fft: int = 960,
        frame_hop: int = 240,
        stride: int = 4,
        width: int = 160,
        num_blocks: int = 3,
    ):
        super().__init__()
        self.hop = frame_hop * stride
        self.n_fft, self.frame_hop = n_fft, frame_hop
        self.register_buffer("window", torch.empty(n_fft), persistent=False)
        self.layers = StreamingSequential(
            CausalConv1d(n_fft // 2 + 1, width, 1),
            *[ConvNeXtBlock(width) for _ in range(num_blocks)],
            CausalConv1d(width, dim, 2 * stride, stride=stride),
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The window is a constant: a Hann window of sum 1, so that a full-scale tone has magnitude 1/2."""
        window = torch.hann_window(self.n_fft, device=self.window.device)
        self.window.copy_(window / window.sum())

    def init_state(self, batch_size: int) -> SpectralEncoderState:
        """The state before the first sample."""
        past = self.window.new_zeros(batch_size, 1, self.n_fft - self.frame_hop)
        return SpectralEncoderState(frames=ConvState(past=past), layers=self.layers.init_state(batch_size))

    def forward(self, wav: Tensor, state: SpectralEncoderState | None = None) -> Tensor:
        """[B, 1, S] -> [B, dim, S / hop]."""
        num_past = self.n_fft - self.frame_hop
        past = wav.new_zeros(*wav.shape[:2], num_past) if state is None else state.frames.past
        wav = torch.cat([past, wav], dim=-1)
        if state is not None:
            state.frames.write(state.frames.past, wav[..., wav.shape[-1] - num_past :])
        with torch.autocast(wav.device.type, enabled=False):
            frames = wav[:, 0].float().unfold(-1, self.n_fft, self.frame_hop)  # [B, T, n_fft]
            spectra = torch.fft.rfft(frames * self.window)  # [B, T, n_fft / 2 + 1]
            features = 0.4 * torch.log(magnitude(spectra) + _FLOOR) + 1.5  # about zero mean, unit variance on speech
        return self.layers(features.to(wav.dtype).transpose(1, 2), state.layers if state else None)


@register("spectral-decoder")
class SpectralDecoder(Decoder):
    """Transposed convolution -> ConvNeXt blocks -> magnitude and phase -> inverse STFT; arguments as the encoder's."""

    def __init__(
        self,
        dim: int,
        *,
        n_fft: int = 960,
        frame_hop: int = 240,
        stride: int = 4,
        width: int = 160,
        num_blocks: int = 4,
    ):
        super().__init__()
        self.hop = frame_hop * stride
        self.n_fft, self.frame_hop = n_fft, frame_hop
        self.register_buffer("window", torch.empty(n_fft), persistent=False)
        self.layers = StreamingSequential(
            CausalConvTranspose1d(dim, width, 2 * stride, stride=stride),
            *[ConvNeXtBlock(width) for _ in range(num_blocks)],
            CausalConv1d(width, 2 * (n_fft // 2 + 1), 1, gain=0.5),
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The window is a constant: a Hann window whose overlapping copies sum to 1."""
        window = torch.hann_window(self.n_fft, device=self.window.device)
        self.window.copy_(window * (2 * self.frame_hop / self.n_fft))

    def init_state(self, batch_size: int) -> SpectralDecoderState:
        """The state before the first frame."""
        partial = self.window.new_zeros(batch_size, 1, self.n_fft - self.frame_hop)
        return SpectralDecoderState(frames=OverlapState(partial=partial), layers=self.layers.init_state(batch_size))

    def forward(self, latent: Tensor, state: SpectralDecoderState | None = None) -> Tensor:
        """[B, dim, T] -> [B, 1, T hop]."""
        y = self.layers(latent, state.layers if state else None).transpose(1, 2)  # [B, T, 2 (n_fft / 2 + 1)]
        with torch.autocast(latent.device.type, enabled=False):
            log_amplitude, phase = y.float().chunk(2, dim=-1)
            amplitude = torch.exp(log_amplitude.clamp(max=6.0))  # a bound, so that an early step cannot blow up
            # Not torch.polar: its gradient takes twice the time on a CPU.
            spectra = torch.complex(amplitude * phase.cos(), amplitude * phase.sin())
            frames = torch.fft.irfft(spectra, n=self.n_fft) * self.window  # [B, T, n_fft]
        return overlap_add(frames[:, None].to(latent.dtype), self.frame_hop, state.frames if state else None)
