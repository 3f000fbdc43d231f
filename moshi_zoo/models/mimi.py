"""Mimi, the streaming neural codec (Moshi paper 3.3): 24 kHz speech <-> 12.5 frames a second of 8 to 32 codes.

Waveform -> convolutional encoder (25 Hz) -> transformer -> stride-2 convolution (12.5 Hz) -> split residual quantizer
-> depthwise transposed convolution (25 Hz) -> transformer -> convolutional decoder -> waveform. All parts are causal
and stream with explicit state, one frame (80 ms) or more at a time.

Differs from the reference: attention keeps ``context - 1`` past keys for every chunk size, so streaming equals offline
beyond the window; the offline result is the same.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moshi_zoo.modules.conv import CausalConv1d, CausalConvTranspose1d, ConvState, OverlapState
from moshi_zoo.modules.quantizer import Quantizer, QuantizerOutput
from moshi_zoo.modules.seanet import Decoder, Encoder
from moshi_zoo.modules.streaming import State
from moshi_zoo.modules.transformer import Transformer, TransformerSize, TransformerState
from moshi_zoo.registry import Spec, register

# Without gradients, longer input passes in blocks of 2 s with a state: activations then stay in the processor's cache
# (a quarter faster on a CPU) and memory does not grow with the length.
_BLOCK = 25


@dataclass
class MimiOutput:
    """A pass through the codec in training.

    Args:
        wav: [B, 1, S], the reconstruction.
        latent: [B, C, T], before the quantizer.
        semantic: [B, C, T], the first codebook's part of what is decoded, never bypassed: what distillation teaches.
            Not quantized while no codebook has started.
        quantized: see :class:`QuantizerOutput`; None while no codebook has started.
        seen: what each branch's codebooks learn from.
    """

    wav: Tensor
    latent: Tensor
    semantic: Tensor
    quantized: QuantizerOutput | None = None
    seen: list[Tensor] | None = None


@dataclass(kw_only=True)
class MimiEncoderState(State):
    """State of the path from waveform to codes."""

    encoder: State
    transformer: TransformerState | None
    downsample: ConvState


@dataclass(kw_only=True)
class MimiDecoderState(State):
    """State of the path from codes to waveform."""

    upsample: OverlapState
    transformer: TransformerState | None
    decoder: State


@dataclass(kw_only=True)
class MimiState(State):
    """Both directions; each can be used without the other."""

    encoder: MimiEncoderState
    decoder: MimiDecoderState


def _seanet(num_filters: int, **init_args: object) -> dict[str, Spec]:
    return {
        side: {"component": f"seanet-{side}", "init_args": {"num_filters": num_filters, **init_args}}
        for side in ("encoder", "decoder")
    }


def _transformers(**size: object) -> dict[str, Spec]:
    return {"encoder_transformer": size, "decoder_transformer": size}


def _split_rvq(num_codebooks: int, codebook_size: int, codebook_dim: int, decay: float = 0.99) -> Spec:
    sizes = {"num_codebooks": num_codebooks, "codebook_size": codebook_size, "codebook_dim": codebook_dim}
    return {"component": "split-rvq", "init_args": {**sizes, "decay": decay}}


@register(
    "mimi",
    presets={
        # every branch in under 200 k parameters, for tests
        "tiny": {
            "dim": 32,
            **_seanet(4, ratios=[8, 6, 5, 4]),
            **_transformers(num_layers=2, num_heads=2, hidden_dim=64, context=20, layer_scale=0.1),
            "quantizer": _split_rvq(4, 32, 16),
        },
        # minutes of training on two cores
        "nano": {
            "dim": 128,
            "encoder": {"component": "spectral-encoder", "init_args": {"width": 160, "num_blocks": 3}},
            "decoder": {"component": "spectral-decoder", "init_args": {"width": 160, "num_blocks": 4}},
            **_transformers(num_layers=1, num_heads=4, hidden_dim=512, context=250, layer_scale=0.1),
            "quantizer": _split_rvq(8, 256, 64, decay=0.98),
        },
        # a day on one GPU
        "base": {
            "dim": 256,
            **_seanet(32),
            **_transformers(num_layers=6, num_heads=8, hidden_dim=1024, context=250, layer_scale=0.01),
            "quantizer": _split_rvq(8, 1024, 256),
        },
        # the released codec
        "full": {
            "dim": 512,
            **_seanet(64),
            **_transformers(num_layers=8, num_heads=8, hidden_dim=2048, context=250, layer_scale=0.01),
            "quantizer": _split_rvq(32, 2048, 256),
        },
    },
)
class Mimi(nn.Module):
    """The codec.

    Args:
        encoder: makes the waveform encoder for a latent width.
        decoder: makes the waveform decoder.
        quantizer: makes the quantizer.
        encoder_transformer: sizes of the transformer after the encoder; None: leave it out.
        decoder_transformer: sizes of the transformer before the decoder; None: leave it out.
        dim: width of the latent C.
        stride: encoder steps per frame.
        sample_rate: in Hz.
    """

    def __init__(
        self,
        encoder: Callable[[int], Encoder],
        decoder: Callable[[int], Decoder],
        quantizer: Callable[[int], Quantizer],
        *,
        encoder_transformer: TransformerSize | None = None,
        decoder_transformer: TransformerSize | None = None,
        dim: int = 512,
        stride: int = 2,
        sample_rate: int = 24_000,
    ):
        super().__init__()
        self.sample_rate = sample_rate
        self.encoder = encoder(dim)
        self.encoder_transformer = Transformer(dim, encoder_transformer) if encoder_transformer else None
        self.downsample = CausalConv1d(dim, dim, 2 * stride, stride=stride, bias=False, edge="replicate", gain=1.0)
        self.quantizer = quantizer(dim)
        # One filter a channel: an accident of the original training that its weights carry.
        self.upsample = CausalConvTranspose1d(dim, dim, 2 * stride, stride=stride, groups=dim, bias=False, gain=1.0)
        self.decoder_transformer = Transformer(dim, decoder_transformer) if decoder_transformer else None
        self.decoder = decoder(dim)
        if self.encoder.hop != self.decoder.hop:
            raise ValueError(
                f"the encoder makes a step of {self.encoder.hop} samples, the decoder of {self.decoder.hop}: "
                "give both the same ratios (or frame_hop and stride)"
            )
        self.frame_size = self.encoder.hop * stride

    @property
    def frame_rate(self) -> float:
        """Frames a second (12.5)."""
        return self.sample_rate / self.frame_size

    @property
    def num_codebooks(self) -> int:
        """Codes a frame, at most."""
        return self.quantizer.num_codebooks

    @property
    def codebook_size(self) -> int:
        """Values of a code."""
        return self.quantizer.codebook_size

    def init_state(self, batch_size: int, *, max_frames: int = 4) -> MimiState:
        """The state at the start of ``batch_size`` streams, on the model's device.

        Args:
            batch_size: number of streams B.
            max_frames: frames of a chunk that the transformers take at once; longer chunks are cut up.
        """
        max_chunk = max_frames * self.downsample.stride[0]

        def start(transformer: Transformer | None) -> TransformerState | None:
            return transformer.init_state(batch_size, max_chunk) if transformer else None

        return MimiState(
            encoder=MimiEncoderState(
                encoder=self.encoder.init_state(batch_size),
                transformer=start(self.encoder_transformer),
                downsample=self.downsample.init_state(batch_size),
            ),
            decoder=MimiDecoderState(
                upsample=self.upsample.init_state(batch_size),
                transformer=start(self.decoder_transformer),
                decoder=self.decoder.init_state(batch_size),
            ),
        )

    def encode(self, wav: Tensor, num_codebooks: int | None = None, *, state: MimiEncoderState | None = None) -> Tensor:
        """Waveform [B, 1, S] -> codes int64 [B, K, T].

        Args:
            wav: float at ``sample_rate``, about -1 to 1. Its end is padded with zeros to a whole frame; in a stream,
                whole frames must come.
            num_codebooks: K; None: all the codec has.
            state: ``init_state(...).encoder`` to continue a stream.

        Raises:
            ValueError: for another shape, no samples, or part of a frame in a stream.
        """
        return self.quantizer.encode(self.encode_latent(wav, state), num_codebooks)

    def decode(self, codes: Tensor, *, state: MimiDecoderState | None = None) -> Tensor:
        """Codes [B, K, T] (the first K codebooks) -> waveform [B, 1, T frame_size].

        Raises:
            ValueError: for another shape, no frames, or more codebooks than the codec has.
        """
        if codes.dim() != 3 or not codes.shape[-1]:
            raise ValueError(f"codes must be [B, K, T] with at least one frame, not {list(codes.shape)}")
        return self.decode_latent(self.quantizer.decode(codes), state)

    def forward(self, wav: Tensor, num_codebooks: int | None = None, bypass: Tensor | None = None) -> MimiOutput:
        """A training pass: [B, 1, S], S a multiple of ``frame_size``, through encoder, quantizer and decoder.

        Args:
            wav: see :meth:`encode`.
            num_codebooks: quantizer dropout; None: all.
            bypass: bool [B], items whose latent reaches the decoder unquantized (Moshi paper 3.3.3). A codec whose
                codebooks have not started bypasses everything; one in which some have uses these.
        """
        latent = self.encode_latent(wav)
        num_started = self.quantizer.num_started
        if not num_started:
            wav = self.decode_latent(self.quantizer.unquantized(latent))
            return MimiOutput(wav, latent, self.quantizer.branches[0].unquantized(latent))
        quantized, seen = self.quantizer(latent, min(num_codebooks or self.num_codebooks, num_started), bypass)
        return MimiOutput(self.decode_latent(quantized.quantized), latent, quantized.semantic, quantized, seen)

    def encode_latent(self, wav: Tensor, state: MimiEncoderState | None = None) -> Tensor:
        """Waveform [B, 1, S] -> latent before the quantizer [B, C, T]; as :meth:`encode`."""
        if wav.dim() != 3 or wav.shape[1] != 1 or not wav.shape[2]:
            raise ValueError(f"wav must be [B, 1, S] (mono; a channel a row) and not empty, not {list(wav.shape)}")
        missing = -wav.shape[-1] % self.frame_size
        if missing and state is not None:
            raise ValueError(
                f"a stream takes whole frames of {self.frame_size} samples; {wav.shape[-1]} came. Keep the rest for "
                "the next call, and pad the last frame with zeros"
            )
        wav = F.pad(wav, (0, missing)) if missing else wav
        blocks = wav.split(_BLOCK * self.frame_size, dim=-1)
        if state is None and len(blocks) > 1 and not torch.is_grad_enabled():
            state = self.init_state(len(wav), max_frames=_BLOCK).encoder
        return _joined([self._encode(block, state) for block in (blocks if state else [wav])])

    def decode_latent(self, quantized: Tensor, state: MimiDecoderState | None = None) -> Tensor:
        """Quantized latent [B, C, T] -> waveform [B, 1, T frame_size]."""
        blocks = quantized.split(_BLOCK, dim=-1)
        if state is None and len(blocks) > 1 and not torch.is_grad_enabled():
            state = self.init_state(len(quantized), max_frames=_BLOCK).decoder
        return _joined([self._decode(block, state) for block in (blocks if state else [quantized])])

    def _encode(self, wav: Tensor, state: MimiEncoderState | None) -> Tensor:
        x = self.encoder(wav, state.encoder if state else None)
        x = _transform(self.encoder_transformer, x, state)
        return self.downsample(x, state.downsample if state else None)

    def _decode(self, quantized: Tensor, state: MimiDecoderState | None) -> Tensor:
        x = self.upsample(quantized, state.upsample if state else None)
        x = _transform(self.decoder_transformer, x, state)
        return self.decoder(x, state.decoder if state else None)


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)


def _transform(transformer: Transformer | None, x: Tensor, state: MimiEncoderState | MimiDecoderState | None) -> Tensor:
    if transformer is None:
        return x
    return transformer(x.transpose(1, 2), state.transformer if state else None).transpose(1, 2)
