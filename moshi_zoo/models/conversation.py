"""Conversations in progress: what they remember, and how they choose their next tokens."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from moshi_zoo.models.delays import DelayState
from moshi_zoo.models.depth import Choose
from moshi_zoo.models.sampling import Sampler
from moshi_zoo.modules.streaming import State
from moshi_zoo.modules.transformer import TransformerState


@dataclass(frozen=True)
class Choosers:
    """How text tokens and codes are chosen: by a :class:`Sampler`, or by whoever knows what is to be said.

    Args:
        text: is called once a frame.
        codes: is called once for each code of a frame, in order; None: Moshi has no voice, and no time goes into it.
        revise: has the last word on a frame's codes, int64 [B, own codebooks]: returns those that are said.
    """

    text: Choose
    codes: Choose | None
    revise: Callable[[Tensor], Tensor] | None = None


SAMPLED = Choosers(Sampler(temperature=0.7, top_k=25), Sampler(temperature=0.8, top_k=250))
"""As in Kyutai's server."""

GREEDY = Choosers(Sampler(), Sampler())


@dataclass(kw_only=True)
class MoshiState(State):
    """State of streaming conversations.

    Args:
        temporal: what the temporal transformer remembers.
        rows: the tokens around the present.
        seed: of each conversation, int64 [B]. Chance depends on it and on the time alone. :meth:`reset` leaves it as it
            is: write another one, or the conversation repeats itself.
        hidden: of the last step, [B, 1, D], for :attr:`Moshi.extra_heads`.
        num_steps: since the oldest conversation began.
    """

    temporal: TransformerState
    rows: DelayState
    seed: Tensor
    hidden: Tensor
    num_steps: int = 0

    def reset(self, rows: Tensor | None = None) -> None:
        """Start the given conversations (bool [B]; None: all) anew, without touching the others."""
        seed = self.seed.clone()
        super().reset(rows)
        self.seed.copy_(seed)
        if rows is None:
            self.num_steps = 0
