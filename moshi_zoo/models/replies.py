"""What Moshi answers to users whose codes are known beforehand: conversations that are streamed, a step at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from moshi_zoo.models.conversation import SAMPLED, Choosers
from moshi_zoo.models.moshi import Moshi
from moshi_zoo.modules.code_embedding import NOTHING


@dataclass(frozen=True)
class Replies:
    """What was said, frame for frame beside what was heard.

    Args:
        text: tokens, int64 [B, T].
        codes: of Moshi's voice, int64 [B, own codebooks, T].
    """

    text: Tensor
    codes: Tensor


@torch.no_grad()
def replies(
    moshi: Moshi, user_codes: Tensor, *, choosers: Choosers = SAMPLED, seeds: Sequence[int] | int = 0
) -> Replies:
    """Talk to users, as fast as it goes.

    Args:
        moshi: the model.
        user_codes: int64 [B, user codebooks, T]; :data:`NOTHING` where nobody is there.
        choosers: take tokens by their logits.
        seeds: of each conversation's chance, or one for all.
    """
    B, _, T = user_codes.shape
    state = moshi.init_state(B, seeds=seeds)
    late = max(moshi.delays.rows[1 : 1 + moshi.num_own_codebooks])  # a frame of the voice is complete so much later
    silence = torch.full_like(user_codes[..., :1], NOTHING)
    # a step hears the frame before it: nothing in the first
    heard = torch.cat([silence, user_codes, *[silence] * late], dim=2)
    texts, frames = [], []
    for frame in heard[..., : T + late].split(1, dim=2):
        text, codes = moshi.step(frame, state, choosers)
        texts.append(text)
        if codes is not None:
            frames.append(codes)
    return Replies(torch.stack(texts[:T], dim=1), torch.cat(frames, dim=2))
