"""Speech in another voice, frame by frame."""

import pytest
import torch

from moshi_zoo.data.revoicing import Sounds, Units, revoiced, sounds, units

RATE, FRAME = 16_000, 1280


def voice(pitches, *, tilt, gap=0):
    """A recording [S] of one frame for each pitch, after so many of silence: tones of the voice's timbre."""
    time = torch.arange(FRAME) / RATE
    tones = [sum(tilt**k * torch.sin(2 * torch.pi * pitch * (k + 1) * time) for k in range(4)) for pitch in pitches]
    noise = 1e-4 * torch.randn((gap + len(pitches)) * FRAME, generator=torch.Generator().manual_seed(0))
    return noise + 0.2 * torch.cat([torch.zeros(gap * FRAME), *tones])


WORDS = [300.0, 500.0, 800.0, 1200.0, 1800.0] * 4


def test_each_frame_finds_its_like_in_another_voice():
    low, high = voice(WORDS, tilt=0.2), voice(WORDS[2:] + WORDS[:2], tilt=0.6)
    (own,) = sounds([low], RATE, FRAME)
    described = sounds([high], RATE, FRAME)
    theirs = torch.arange(2, 2 + len(WORDS))[None]  # a code for each frame: which word it is
    result = revoiced(own, torch.full((1, len(WORDS)), -7), units(described, [theirs]))
    said, meant = result[0] % 5, torch.arange(len(WORDS)) % 5
    assert (said == meant).float().mean() > 0.8


def test_pauses_keep_their_codes():
    wav = voice(WORDS, tilt=0.2, gap=6)
    (own,) = sounds([wav], RATE, FRAME)
    assert own.speech.tolist() == [False] * 6 + [True] * 20
    codes = torch.arange(26)[None].repeat(2, 1)
    described = units([own], [codes + 100])
    result = revoiced(own, codes, described)
    assert result[:, :6].equal(codes[:, :6])
    assert (result[:, 6:] >= 106).all()


def test_units_that_follow_each_other_are_preferred():
    features = torch.tensor([[0.0], [1.0], [2.0], [1.01], [5.0]])
    found = Units(features, torch.arange(5)[None], goes_on=torch.tensor([False, True, True, False, False]))
    frames = Sounds(torch.tensor([[0.0], [1.01], [2.0]]), torch.ones(3, dtype=torch.bool))
    assert revoiced(frames, torch.zeros(1, 3, dtype=torch.int64), found).tolist() == [[0, 1, 2]]
    alone = Sounds(torch.tensor([[1.01]]), torch.ones(1, dtype=torch.bool))
    assert revoiced(alone, torch.zeros(1, 1, dtype=torch.int64), found).tolist() == [[3]]


def test_units_know_where_a_recording_or_a_pause_begins():
    (first, second) = sounds([voice(WORDS, tilt=0.2), voice(WORDS, tilt=0.2, gap=3)], RATE, FRAME)
    found = units([first, second], [torch.zeros(1, 20).long(), torch.zeros(1, 23).long()])
    assert found.features.shape[0] == found.codes.shape[1] == 40
    assert (~found.goes_on).nonzero()[:, 0].tolist() == [0, 20]


def test_nobody_has_no_voice():
    with pytest.raises(ValueError, match="nobody speaks"):
        sounds([torch.zeros(10 * FRAME)], RATE, FRAME)
