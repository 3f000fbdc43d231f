"""The picture of a conversation."""

import numpy as np
import pytest
import torch

from moshi_zoo.metrics.talk_picture import talk_picture

RATE = 8000


def ink(image, colour):
    return (np.abs(np.asarray(image.convert("RGB")).astype(int) - colour).sum(-1) < 40).sum()


def test_sound_takes_ink_and_time_takes_strips():
    loud, silent = torch.sin(torch.arange(4 * RATE) * 0.3), torch.zeros(4 * RATE)
    one = talk_picture({"Moshi": loud, "user": silent}, RATE, words={"Moshi": [(1.0, "hello")]})
    other = talk_picture({"Moshi": silent, "user": loud}, RATE)
    blue, orange = (38, 110, 163), (224, 144, 40)
    assert ink(one, blue) > 20 * max(ink(other, blue), 1)
    assert ink(other, orange) > 20 * max(ink(one, orange), 1)
    long = talk_picture({"Moshi": torch.zeros(31 * RATE)}, RATE)
    short = talk_picture({"Moshi": torch.zeros(15 * RATE)}, RATE)
    assert long.size[1] > 2.7 * short.size[1]


def test_what_is_no_conversation_is_refused():
    for wavs in ({}, {"Moshi": torch.zeros(0)}, {"Moshi": torch.zeros(5), "user": torch.zeros(6)}):
        with pytest.raises(ValueError, match="needs waveforms"):
            talk_picture(wavs, RATE)
