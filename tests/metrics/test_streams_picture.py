import numpy as np
import pytest
import torch

from moshi_zoo.metrics.canvas import ACCENT, GRID, PAPER
from moshi_zoo.metrics.streams_picture import streams_picture

SETTINGS = {"frame_rate": 12.5, "codebook_size": 32, "pad": 3, "epad": 0}


def picture(codes, words=None):
    return np.asarray(streams_picture(codes, words=words or {}, **SETTINGS))


def test_rows_and_words_can_be_told_apart():
    codes = torch.randint(0, 32, (9, 125))
    codes[0] = 3
    codes[0, 60] = 40
    image = picture(codes)
    assert (image == GRID).all(-1).any()
    assert (image == ACCENT).all(-1).any()
    captioned = picture(codes, {"Moshi says": [(1.0, "hello"), (1.5, "there")]})
    assert captioned.shape[0] > image.shape[0]


def test_nothing_leaves_the_paper_white():
    codes = torch.full((17, 50), -1)
    rows = picture(codes)[8:120, 90:980]  # between labels and ticks
    assert (rows == PAPER).all()


def test_long_windows_take_several_strips():
    assert picture(torch.zeros(17, 126).long()).shape[0] > 1.8 * picture(torch.zeros(17, 125).long()).shape[0]


@pytest.mark.parametrize("shape", [(17,), (16, 5), (17, 0), (1, 17, 5)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"\[1 \+ 2 K, T\]"):
        picture(torch.zeros(shape).long())
