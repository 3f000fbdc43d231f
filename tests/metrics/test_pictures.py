import numpy as np
import pytest
import torch

from moshi_zoo.metrics.canvas import colours, nice_ticks, number
from moshi_zoo.metrics.pictures import codebook_picture, curves_picture, spectrogram_picture


def _tone(hz, seconds=1.0):
    return 0.5 * torch.sin(2 * torch.pi * hz * torch.arange(round(24000 * seconds)) / 24000)


def _pixels(image):
    return np.asarray(image).astype(int)


def test_a_row_more_makes_the_spectrogram_picture_taller():
    one = spectrogram_picture({"original": _tone(440)}, 24000)
    three = spectrogram_picture({"original": _tone(440), "8 codebooks": _tone(450), "1 codebook": _tone(900)}, 24000)
    assert one.size == (1000, 222)
    assert three.size == (1000, 582)


def test_a_tone_is_a_bright_line_at_its_height():
    low, high = (_pixels(spectrogram_picture({"x": _tone(hz)}, 24000)) for hz in (300, 6000))
    panel = (slice(40, 180), slice(100, 900))
    brightest = [int(p[panel].sum(axis=2).mean(axis=1).argmax()) for p in (low, high)]
    assert brightest[0] > brightest[1] + 50  # a low tone lies lower in the picture
    assert low[panel].sum(axis=2).max() > 600
    assert low[panel].sum(axis=2).min() < 100


def test_a_shorter_row_ends_earlier_on_the_common_time_axis():
    picture = _pixels(spectrogram_picture({"original": _tone(440, 2.0), "cut": _tone(440, 1.0)}, 24000))
    second_row = picture[230:330, 560:900]
    assert second_row.min() == 255  # white paper right of the middle
    assert picture[50:150, 560:900].min() < 50


def test_silent_and_very_short_clips_can_be_drawn():
    assert spectrogram_picture({"silence": torch.zeros(24000), "click": torch.ones(10)}, 24000).size == (1000, 402)


def test_rows_that_are_no_waveform_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 100\)"):
        spectrogram_picture({"original": torch.zeros(1, 100)}, 24000)
    with pytest.raises(ValueError, match="none"):
        spectrogram_picture({}, 24000)


def test_the_codebook_picture_shows_how_much_is_used():
    counts = torch.zeros(2, 256)
    counts[0] = 10
    counts[1, :26] = 10
    full, tenth = np.split(_pixels(codebook_picture(counts))[:, 46:], [227], axis=1)
    blue = [int((p == (38, 110, 163)).all(axis=2).sum()) for p in (full, tenth)]
    assert blue[0] > 5 * blue[1] > 0


@pytest.mark.parametrize("levels", [1, 4, 5, 32])
def test_any_number_of_levels_finds_room(levels):
    picture = codebook_picture(torch.ones(levels, 16))
    rows = -(-levels // 4)
    assert picture.height == 14 + rows * 136
    assert _pixels(picture).min() < 100


def test_curves_of_all_kinds_are_drawn():
    series = {
        "train/mel": [(step, 1 / (step + 1)) for step in range(50)],
        "one value": [(10, 3.0)],
        "constant": [(0, 2.0), (100, 2.0)],
        "diverged": [(0, 1.0), (1, float("nan")), (2, float("inf"))],
        "empty": [],
    }
    picture = _pixels(curves_picture(series))
    assert picture.shape[0] == 16 + 2 * 192
    blue = picture[..., 2] - picture[..., 0] > 60
    charts = [half[:, x : x + 334] for half in np.split(blue, [204]) for x in (16, 350, 684)]
    drawn = [int(chart[38:].sum()) for chart in charts]  # below the titles, which carry the last value in blue
    assert drawn[0] > 200
    assert all(pixels > 10 for pixels in drawn[1:4])
    assert drawn[4:] == [0, 0]


def test_no_curves_at_all_are_refused():
    with pytest.raises(ValueError, match="nothing yet"):
        curves_picture({})


def test_colours_rise_in_lightness_from_dark_to_bright():
    lightness = colours(np.linspace(0, 1, 50)).astype(float) @ [0.299, 0.587, 0.114]
    assert (np.diff(lightness) > 0).all()
    assert lightness[0] < 20
    assert lightness[-1] > 240


def test_ticks_are_round_and_inside():
    assert nice_ticks(0, 1490, count=3) == [0, 500, 1000]
    assert nice_ticks(-0.01, 0.93, count=4) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])


def test_numbers_are_short():
    assert [number(x) for x in (0, 0.25, 1234, 12000, 2.5e6, -0.5, 1e-5)] == [
        "0",
        "0.25",
        "1234",
        "12k",
        "2.5M",
        "-0.5",
        "1e-05",
    ]
