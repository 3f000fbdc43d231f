"""Helium, the text language model (Moshi paper 3.2): its weights seed Moshi's temporal transformer.

Tokens -> embedding -> pre-norm transformer (float32 RMS norms, rotary positions on neighbouring pairs, SwiGLU, no
biases) -> RMS norm -> output product, which shares nothing with the embedding. Past ``context`` positions the attention
window slides.
"""

from torch import Tensor, nn

from moshi_zoo.modules.gating import gated_width
from moshi_zoo.modules.initial import NormalEmbedding, NormalLinear
from moshi_zoo.modules.norm import RMSNorm
from moshi_zoo.modules.transformer import Transformer, TransformerSize, TransformerState
from moshi_zoo.registry import Spec, register

HIDDEN_SCALE = 4.125


def _preset(vocab_size: int, dim: int, *, hidden_dim: int | None = None, **size: object) -> Spec:
    size = {
        "hidden_dim": hidden_dim or gated_width(dim, HIDDEN_SCALE),
        "layer_scale": None,
        "num_kv_heads": None,
        "max_period": 10_000.0,
        "norm": "rms",
        "norm_eps": 1e-8,
        "mlp": "swiglu",
        "initial": "normal",
        **size,
    }
    return {"vocab_size": vocab_size, "dim": dim, "transformer": size}


PRESETS = {
    # every branch in under 200 k parameters, for tests
    "tiny": _preset(256, 64, num_layers=2, num_heads=4, num_kv_heads=2, context=32),
    # minutes of training on two cores
    "nano": _preset(1024, 128, num_layers=4, num_heads=4, context=256),
    # an hour or two, for a trunk that listens well
    "small": _preset(1024, 192, num_layers=6, num_heads=6, context=256),
    # 100 M, deep and thin, with a third of the key and value heads: best at this size (MobileLLM, arXiv 2402.14905)
    "base": _preset(16_000, 576, num_layers=24, num_heads=9, num_kv_heads=3, context=2048),
    # kyutai/helium-1-preview-2b
    "1-preview-2b": _preset(48_000, 2560, num_layers=24, num_heads=20, context=4096, max_period=100_000.0),
    # kyutai/helium-1-2b
    "1-2b": _preset(
        64_000,
        2048,
        num_layers=28,
        num_heads=16,
        num_kv_heads=8,
        hidden_dim=8192,
        context=4096,
        max_period=20_000.0,
    ),
    # Moshi's own text model, never released alone; its transformer is Moshi's temporal one
    "7b": _preset(32_000, 4096, num_layers=32, num_heads=32, context=4096),
}


@register("helium", presets=PRESETS)
class Helium(nn.Module):
    """The language model.

    Args:
        vocab_size: tokens V.
        dim: width D.
        transformer: sizes of the trunk.
    """

    def __init__(self, *, vocab_size: int, dim: int, transformer: TransformerSize):
        super().__init__()
        self.vocab_size, self.dim = vocab_size, dim
        self.embedding = NormalEmbedding(vocab_size, dim)
        self.transformer = Transformer(dim, transformer)
        self.norm = RMSNorm(dim, transformer.norm_eps)
        self.output = NormalLinear(dim, vocab_size, bias=False)

    @property
    def context(self) -> int:
        """Positions a token sees, itself included."""
        return self.transformer.size.context

    def init_state(self, batch_size: int, max_chunk: int = 16, *, max_positions: int | None = None) -> TransformerState:
        """The state at the start of ``batch_size`` texts; arguments as of :meth:`Transformer.init_state`."""
        return self.transformer.init_state(batch_size, max_chunk, max_positions=max_positions)

    def forward(self, tokens: Tensor, state: TransformerState | None = None) -> Tensor:
        """Tokens int64 [B, T] -> logits [B, T, V] of the token after each."""
        return self.output(self.hidden(tokens, state))

    def hidden(self, tokens: Tensor, state: TransformerState | None = None) -> Tensor:
        """Tokens int64 [B, T] -> what the output product sees [B, T, D]."""
        return self.transform(self.embedding(tokens), state)

    def transform(self, x: Tensor, state: TransformerState | None = None) -> Tensor:
        """Embedded inputs [B, T, D] -> normalised outputs [B, T, D]: the trunk without the vocabulary."""
        return self.norm(self.transformer(x, state))
