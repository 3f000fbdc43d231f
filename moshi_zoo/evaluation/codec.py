"""What the codec suite asks of a codec, so that ours and others' are measured by the same lines."""

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor

from moshi_zoo.models.mimi import Mimi


class Codec(Protocol):
    """The least that can be evaluated. Codes of fewer codebooks are the first ones of more."""

    sample_rate: int
    frame_rate: float
    num_codebooks: int
    codebook_size: int

    def encode(self, wav: Tensor) -> Tensor:
        """Waveform [B, 1, S] -> all codes, int64 [B, K, T]."""
        ...

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, k, T] of the first k codebooks -> waveform [B, 1, S'], S' about T frames."""
        ...


@runtime_checkable
class HasFeatures(Protocol):
    """A codec whose inner representations can be looked at: what ABX compares."""

    def features(self, wav: Tensor) -> Mapping[str, Tensor]:
        """Waveform [B, 1, S] -> name -> vectors [B, T, D], one a frame."""
        ...


@runtime_checkable
class Streams(Protocol):
    """A codec that works frame by frame."""

    def start_stream(self) -> Callable[[Tensor], Tensor]:
        """A fresh stream: a function that codes and decodes one frame [1, 1, S]."""
        ...


class ZooCodec:
    """A codec of the zoo.

    Args:
        model: in eval mode.
    """

    def __init__(self, model: Mimi):
        self.model = model
        self.sample_rate, self.frame_rate = model.sample_rate, model.frame_rate
        self.num_codebooks, self.codebook_size = model.num_codebooks, model.codebook_size

    def encode(self, wav: Tensor) -> Tensor:
        """Waveform [B, 1, S] -> all codes [B, K, T]."""
        return self.model.encode(wav)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, k, T] -> waveform [B, 1, T frame_size]."""
        return self.model.decode(codes)

    def features(self, wav: Tensor) -> dict[str, Tensor]:
        """``semantic``: the first codebook's entries as the decoder gets them; ``latent``: before the quantizer."""
        latent = self.model.encode_latent(wav)
        semantic = self.model.quantizer.decode(self.model.quantizer.encode(latent, 1))
        return {"semantic": semantic.transpose(1, 2), "latent": latent.transpose(1, 2)}  # [B, C, T] -> [B, T, C]

    def start_stream(self) -> Callable[[Tensor], Tensor]:
        """A fresh stream through both directions."""
        state = self.model.init_state(1)

        def step(frame: Tensor) -> Tensor:
            return self.model.decode(self.model.encode(frame, state=state.encoder), state=state.decoder)

        return step


def frame_samples(codec: Codec) -> int:
    """Samples of a frame."""
    return round(codec.sample_rate / codec.frame_rate)
