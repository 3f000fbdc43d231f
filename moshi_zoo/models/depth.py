"""Moshi's depth transformer (Moshi paper 3.4.1): the codes of one frame, one after the other.

Step 0 sees what the temporal transformer made of the past, and the frame's text token; it says the first code. Step k
sees the same past, and code k - 1; it says code k. Steps have products of their own, and look back on earlier steps of
their frame only. There are no positions: the weights know their step.

Tensors stand step first, [K, N, D] for N frames, so that what belongs to one product lies together. Products start
uniform as in the reference, so that what is not normalised before the output starts small; embeddings and output start
truncated normal.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moshi_zoo.modules.code_embedding import CodeEmbedding
from moshi_zoo.modules.gating import gated
from moshi_zoo.modules.linear import Linear
from moshi_zoo.modules.norm import RMSNorm
from moshi_zoo.modules.step_linear import StepLinear

Choose = Callable[[Tensor, Tensor], Tensor]
"""Logits [B, V] and uniform numbers [B] -> codes int64 [B]: a :class:`Sampler`, or one that knows what to say."""


@dataclass(frozen=True)
class DepthSize:
    """Sizes of the depth transformer.

    Args:
        dim: width d.
        num_layers: blocks.
        num_heads: attention heads of a block.
        hidden_dim: inner width of the gated feed-forward layer.
        schedule: which weights each step uses, from 0; None: each step its own. Embeddings and output products are
            never shared.
        embedding_rank: width of the embeddings, where a product brings them to ``dim``; None: ``dim`` itself.
        norm_eps: added to the mean square by the norms.
        parallel: whether the codes of a frame are said at once, each from the past alone, which makes it no depth
            transformer any more: heads side by side, to show what it is good for.
    """

    dim: int
    num_layers: int
    num_heads: int
    hidden_dim: int
    schedule: list[int] | None = None
    embedding_rank: int | None = None
    norm_eps: float = 1e-8
    parallel: bool = False


class DepthTransformer(nn.Module):
    """The depth transformer.

    Args:
        size: sizes.
        num_steps: codes of a frame K.
        codebook_size: codes V that each step can say.
        vocab_size: text tokens.
        context_dim: width D of what comes from the temporal transformer.

    Attributes:
        chunk: frames that a loss had better take at a time: all activations of a minute of speech take more memory than
            the temporal transformer's. Few for a large model, whose gradients every chunk goes through; but enough to
            be worth reading its weights.

    Raises:
        ValueError: if the sizes do not fit each other.
    """

    def __init__(self, size: DepthSize, *, num_steps: int, codebook_size: int, vocab_size: int, context_dim: int):
        super().__init__()
        schedule = list(range(num_steps)) if size.schedule is None else size.schedule
        if len(schedule) != num_steps:
            raise ValueError(
                f"schedule {schedule} says the weights of {len(schedule)} steps, but there are {num_steps}"
            )
        if size.dim % size.num_heads:
            raise ValueError(f"the depth dim ({size.dim}) must be divisible by num_heads ({size.num_heads})")
        self.size, self.num_steps = size, num_steps
        self.chunk = max(2**16 // size.dim, size.dim // 4)
        width, rank = size.embedding_rank or size.dim, size.embedding_rank
        self.in_proj = StepLinear(context_dim, size.dim, schedule)
        # the last of each table is the initial token
        self.text_embedding = CodeEmbedding(1, vocab_size + 1, width)
        self.embedding = CodeEmbedding(num_steps - 1, codebook_size + 1, width)
        self.text_up = Linear(rank, size.dim, bias=False) if rank else None
        self.up = StepLinear(rank, size.dim, range(num_steps - 1)) if rank else None
        layers = nn.ModuleList(DepthLayer(size, schedule) for _ in range(size.num_layers))
        self.layers = cast("Sequence[DepthLayer]", layers)
        self.output = StepLinear(size.dim, codebook_size, range(num_steps), initial="normal")

    def forward(self, context: Tensor, tokens: Tensor) -> Tensor:
        """Frames whose tokens are known, all steps at once.

        Args:
            context: of the temporal transformer, [N, D].
            tokens: that go into the steps: the text token, then all codes but the last, int64 [K, N].

        Returns:
            What the output products see, [K, N, d].
        """
        x = self.in_proj.each(context)  # [sets, N, d]
        if self.size.schedule is not None:
            x = x[self.size.schedule]
        if not self.size.parallel:
            x = x + torch.cat([self._embed(tokens[:1], 0), self._embed(tokens[1:], 1)])  # [K, N, d]
        for layer in self.layers:
            x = layer(x)
        return x

    def generate(self, context: Tensor, text: Tensor, choose: Choose, chance: Tensor) -> Tensor:
        """Say the codes of one frame.

        Args:
            context: of the temporal transformer, [B, D].
            text: the frame's text token, int64 [B].
            choose: takes a code by its logits; called once for each code, in order.
            chance: a uniform number for each code; says how many: [B, codes].

        Returns:
            The codes, int64 [B, codes].
        """
        contexts, chances = self.in_proj.each(context).unbind(), chance.unbind(1)  # a [B, d] of each set
        layers: list[DepthLayer] = list(self.layers)
        pasts: list[tuple[Tensor, Tensor] | None] = [None] * len(layers)
        token, codes = text, []
        for step in range(len(chances)):
            x = contexts[self.in_proj.schedule[step]]  # [B, d]
            if not self.size.parallel:
                x = x + self._embed_one(token, step)
            for index, layer in enumerate(layers):
                x, pasts[index] = layer.step(x, step, pasts[index])
            token = choose(self.output.step(x, step), chances[step])
            codes.append(token)
        return torch.stack(codes, dim=1)

    def _embed(self, tokens: Tensor, step: int) -> Tensor:
        """The vectors of the tokens that go into the steps from ``step`` on, [steps, N] -> [steps, N, d]."""
        if step == 0:
            x = self.text_embedding(tokens)
            return x if self.text_up is None else self.text_up(x)
        x = self.embedding(tokens, step - 1)
        return x if self.up is None else self.up(x, step - 1)

    def _embed_one(self, tokens: Tensor, step: int) -> Tensor:
        """The same of a single step, [B] -> [B, d]."""
        if step == 0:
            x = self.text_embedding.one(tokens, 0)
            return x if self.text_up is None else self.text_up(x)
        x = self.embedding.one(tokens, step - 1)
        return x if self.up is None else self.up.step(x, step - 1)


class DepthLayer(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); the steps share the norms.

    Args:
        size: sizes.
        schedule: which weights each step uses.
    """

    def __init__(self, size: DepthSize, schedule: Sequence[int]):
        super().__init__()
        self.num_heads, self.parallel = size.num_heads, size.parallel
        self.attention_norm = RMSNorm(size.dim, size.norm_eps)
        self.attention_in = StepLinear(size.dim, 3 * size.dim, schedule)  # rows: queries, keys, values
        self.attention_out = StepLinear(size.dim, size.dim, schedule)
        self.mlp_norm = RMSNorm(size.dim, size.norm_eps)
        self.mlp_in = StepLinear(size.dim, 2 * size.hidden_dim, schedule)  # rows: gate, up
        self.mlp_out = StepLinear(size.hidden_dim, size.dim, schedule)

    def forward(self, x: Tensor) -> Tensor:
        """All steps of N frames at once: [K, N, d] -> [K, N, d]."""
        K, N, _ = x.shape
        heads = self.attention_in(self.attention_norm(x)).view(K, N, 3, self.num_heads, -1)
        queries, keys, values = heads.permute(2, 1, 3, 0, 4)  # each [N, H, K, d / H]
        y = values  # side by side, a step sees itself alone
        if not self.parallel:
            y = F.scaled_dot_product_attention(queries, keys, values, is_causal=K > 1)
        x = x + self.attention_out(y.permute(2, 0, 1, 3).flatten(2))
        return x + self.mlp_out(gated(self.mlp_in(self.mlp_norm(x))))

    def step(self, x: Tensor, index: int, past: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One step of B frames, after those before it.

        In a small model the time goes into how many operations there are, not into what they do: here are few.

        Args:
            x: [B, d].
            index: of the step.
            past: keys and values of the steps before, each [B, H, index, d / H]; None in the first.

        Returns:
            [B, d], and keys and values with those of this step.
        """
        heads = self.attention_in.step(self.attention_norm(x), index).view(len(x), 3, self.num_heads, 1, -1)
        queries, keys, values = heads.unbind(1)  # each [B, H, 1, d / H]
        y = values  # of a step that sees itself alone
        if past is not None and not self.parallel:
            keys, values = torch.cat([past[0], keys], dim=2), torch.cat([past[1], values], dim=2)
            y = F.scaled_dot_product_attention(queries, keys, values)
        x = x + self.attention_out.step(y.flatten(1), index)
        return x + self.mlp_out.step(gated(self.mlp_in.step(self.mlp_norm(x), index)), index), (keys, values)
