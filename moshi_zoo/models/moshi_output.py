"""What Moshi says of conversations that are known beforehand: what training takes."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class MoshiOutput:
    """Logits of all frames, each from what came before it; frame for frame as in the codes that went in.

    Args:
        text_logits: [B, T, V].
        audio_logits: [B, K, T, V] of the K generated rows.
        text_mask: bool [B, T], where there is something to learn: a token, and logits for it.
        audio_mask: bool [B, K, T].
    """

    text_logits: Tensor
    audio_logits: Tensor
    text_mask: Tensor
    audio_mask: Tensor


@dataclass(frozen=True)
class MoshiHidden:
    """What the output products see at each position, beside what they should say there. Rows are delayed.

    A loss needs no more, and never has to hold all logits.

    Args:
        text: for ``temporal.output``, [B, T, D].
        text_targets: int64 [B, T].
        text_mask: bool [B, T], where a target counts.
        context: for the depth transformer, [N, D]: N positions, those of the batch one after the other or some of them.
        tokens: of these, int64 [1 + K, N]: all but the last go into the depth transformer, all but the first come out.
        audio_mask: bool [K, N], where a code counts.
        positions: int64 [N]: which of the B T positions these are.
    """

    text: Tensor
    text_targets: Tensor
    text_mask: Tensor
    context: Tensor
    tokens: Tensor
    audio_mask: Tensor
    positions: Tensor
