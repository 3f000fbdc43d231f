"""What is taken away from windows."""

import numpy as np
import pytest
import torch

from moshi_zoo.data.dialogue_masks import Masks


def masked(masks, T=20_000, K=4):
    text, user = torch.ones(T, dtype=torch.int64), torch.ones(K, T, dtype=torch.int64)
    masks.apply(text, user, np.random.default_rng(0))
    return text == -1, user == -1


def test_the_share_of_the_text_is_gone_but_for_the_first_token():
    text, user = masked(Masks(text=0.3))
    assert text.float().mean() == pytest.approx(0.3, abs=0.02)
    assert not user.any()
    assert not masked(Masks(text=0.99))[0][0]


def test_the_user_loses_whole_frames_and_single_codes():
    text, user = masked(Masks(user=0.2))
    assert not text.any()
    assert user.float().mean() == pytest.approx(0.2, abs=0.02)
    assert user.all(0).float().mean() == pytest.approx(0.105, abs=0.02)
    assert (user.any(0) & ~user.all(0)).float().mean() > 0.1


def test_shares_are_shares():
    with pytest.raises(ValueError, match=r"user_dropout is 1\.5"):
        Masks(user=1.5)
    with pytest.raises(ValueError, match="text_mask is -1"):
        Masks(text=-1)
