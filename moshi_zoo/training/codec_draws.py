"""What is drawn for a step of the codec's training: alike on all processes, and again after a resume."""

from dataclasses import dataclass

import numpy as np

_CODEBOOKS, _BYPASS, _DISCRIMINATOR = range(3)  # streams of random numbers


@dataclass(frozen=True, kw_only=True)
class CodecDraws:
    """Draws from seed and step alone.

    Args:
        seed: of all draws.
        quantizer_dropout: draw the number of codebooks; otherwise all are used.
        bypass_rate: share of the clips whose latents are not quantized (Moshi paper 3.3.3).
        discriminator_probability: share of the steps in which the discriminator learns.
    """

    seed: int
    quantizer_dropout: bool
    bypass_rate: float
    discriminator_probability: float

    def num_codebooks(self, step: int, *, most: int) -> int | None:
        """How many codebooks a step uses: one semantic and one acoustic at least; None: all."""
        if not self.quantizer_dropout:
            return None
        return int(self._generator(step, _CODEBOOKS).integers(min(2, most), most, endpoint=True))

    def bypassed(self, step: int, *shape: int) -> np.ndarray:
        """Which clips of a step pass unquantized: bool, of this shape."""
        return self._generator(step, _BYPASS).random(shape) < self.bypass_rate

    def discriminator_learns(self, step: int) -> bool:
        """Whether the discriminator makes a step, too."""
        return bool(self._generator(step, _DISCRIMINATOR).random() < self.discriminator_probability)

    def _generator(self, step: int, stream: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, step, stream))
