"""Mimi of other packages, for the same suite; weights as they come or random."""

from typing import Any

from torch import Tensor


class TransformersMimi:
    """Hugging Face's.

    Args:
        model: a ``transformers.MimiModel`` in eval mode.
    """

    def __init__(self, model: Any):
        self.model = model
        config = model.config
        self.sample_rate, self.frame_rate = config.sampling_rate, config.frame_rate
        self.num_codebooks, self.codebook_size = config.num_quantizers, config.codebook_size

    def encode(self, wav: Tensor) -> Tensor:
        """Waveform [B, 1, S] -> all codes [B, K, T]."""
        return self.model.encode(wav).audio_codes

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, k, T] -> waveform [B, 1, S]."""
        return self.model.decode(codes).audio_values


class MoshiMimi:
    """PyPI ``moshi``'s.

    Args:
        model: of ``moshi.models.loaders.get_mimi``; it codes with the codebooks that were asked for there.
    """

    def __init__(self, model: Any):
        self.model = model
        self.sample_rate, self.frame_rate = model.sample_rate, model.frame_rate
        self.num_codebooks, self.codebook_size = model.num_codebooks, model.cardinality

    def encode(self, wav: Tensor) -> Tensor:
        """Waveform [B, 1, S] -> all codes [B, K, T]."""
        return self.model.encode(wav)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, k, T] -> waveform [B, 1, S]."""
        return self.model.decode(codes)
