"""Where the codes of a frame go, when rows are delayed against each other (Moshi paper 3.4.3).

The model reads one token of each row at every position and says those of the next. With a delay of d, the code of
frame t is the input at position t + 1 + d; positions 0..d hold the row's initial token. So the acoustic codes of a
frame come a position after its semantic one, and can be said knowing that.

Training lays out whole sequences, streaming keeps the last few positions in a ring: both here, by the same rule.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moshi_zoo.modules.code_embedding import NOTHING
from moshi_zoo.modules.streaming import State


@dataclass(kw_only=True)
class DelayState(State):
    """The tokens around the present: a ring [B, K, R] over positions, and the present position, int64 [B]."""

    tokens: Tensor
    position: Tensor


class Delays(nn.Module):
    """The delays of all rows K.

    Args:
        rows: delay of each row, in frames.
        initial: token of each row before its first code.

    Raises:
        ValueError: if a delay is negative, or there is not one initial token for each row.
    """

    def __init__(self, rows: Sequence[int], initial: Sequence[int]):
        super().__init__()
        if min(rows, default=0) < 0:
            raise ValueError(f"delays {list(rows)} must not be negative; delay the other rows instead")
        if len(rows) != len(initial):
            raise ValueError(f"{len(rows)} delays for {len(initial)} rows: give one each")
        self.rows, self.initial = tuple(rows), tuple(initial)
        self.register_buffer("_delay", torch.empty(len(rows), dtype=torch.int64), persistent=False)
        self.register_buffer("initial_tokens", torch.empty(len(rows), dtype=torch.int64), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Fill the tables."""
        self._delay.copy_(torch.tensor(self.rows))
        self.initial_tokens.copy_(torch.tensor(self.initial))

    def delay(self, codes: Tensor) -> Tensor:
        """Codes int64 [B, K, T] -> tokens at positions 0..T, [B, K, T + 1].

        Those at 0..T-1 are the model's inputs, those at 1..T what it shall say there. The last ``d`` codes of a row
        with delay d fall off.
        """
        B, _, T = codes.shape
        tokens = self.initial_tokens[:, None].repeat(B, 1, T + 1)
        for row, delay in enumerate(self.rows):
            tokens[:, row, delay + 1 :] = codes[:, row, : max(T - delay, 0)]
        return tokens

    def undelay(self, said: Tensor, first: int = 0) -> Tensor:
        """What is said at each position [B, rows, T, ...] -> what is said about each frame, [B, rows, T, ...].

        The rows are ``first``, ``first + 1``, …. Nothing is said about the last frames of delayed rows: zeros (False).
        """
        rows, nothing = [], (0, 0) * (said.dim() - 3)
        for row, delay in zip(said.unbind(1), self.rows[first:], strict=False):
            kept = row[:, delay:]
            rows.append(F.pad(kept, (*nothing, 0, row.shape[1] - kept.shape[1])))
        return torch.stack(rows, dim=1)

    def init_state(self, batch_size: int) -> DelayState:
        """The start of ``batch_size`` streams."""
        # from a frame that is complete to the latest position that the newest code is kept for
        capacity = max(self.rows) + 2
        tokens = self._delay.new_zeros(batch_size, len(self.rows), capacity)
        return DelayState(tokens=tokens, position=self._delay.new_zeros(batch_size))

    def hear(self, codes: Tensor, state: DelayState, first: int) -> None:
        """Take given codes [B, rows], of the frame before the present position; the rows are ``first``, …."""
        self._put(codes, state, first, self._delay[first : first + codes.shape[1]])

    def inputs(self, state: DelayState) -> Tensor:
        """The tokens at the present position, [B, K]."""
        tokens = self._get(state, 0, state.position[:, None].expand(-1, len(self.rows)))
        return torch.where(state.position[:, None] <= self._delay, self.initial_tokens, tokens)

    def say(self, tokens: Tensor, state: DelayState) -> None:
        """Take what the model said, [B, rows] from the first row on, as the next inputs, and move on to there."""
        state.write(state.position, state.position + 1)
        self._put(tokens, state, 0, torch.zeros_like(self._delay[: tokens.shape[1]]))

    def frame(self, state: DelayState, first: int, stop: int) -> Tensor:
        """The newest frame that rows ``first`` to ``stop`` (exclusive) are complete in, [B, rows].

        :data:`NOTHING` in streams that have none yet.
        """
        delay = self._delay[first:stop]
        behind = max(self.rows[first:stop], default=0)
        frame = self._get(state, first, state.position[:, None] - behind + delay)
        return frame.masked_fill((state.position <= behind)[:, None], NOTHING)

    def _put(self, tokens: Tensor, state: DelayState, first: int, later: Tensor) -> None:
        slots = (state.position[:, None] + later) % state.tokens.shape[2]
        ring = state.tokens[:, first : first + tokens.shape[1]]
        state.write(ring, ring.scatter(2, slots[..., None], tokens[..., None]))

    def _get(self, state: DelayState, first: int, positions: Tensor) -> Tensor:
        ring = state.tokens[:, first : first + positions.shape[1]]
        return ring.gather(2, (positions % state.tokens.shape[2])[..., None])[..., 0]
