"""Speech found by its energy."""

import pytest
import torch

from moshi_zoo.evaluation.voice_activity import speech_spans

RATE = 24_000


def sound(*stretches, seconds=3.0, noise_db=-60.0):
    """Noise of a room with a tone in the given stretches."""
    generator = torch.Generator().manual_seed(0)
    wav = torch.randn(round(seconds * RATE), generator=generator) * 10 ** (noise_db / 20)
    for start, end in stretches:
        n = torch.arange(round((end - start) * RATE))
        wav[round(start * RATE) : round(start * RATE) + len(n)] += 0.1 * torch.sin(n * 0.1)
    return wav


def test_stretches_of_speech_are_found_to_a_few_hundredths_of_a_second():
    (first, second) = speech_spans(sound((0.5, 1.0), (1.6, 2.2)), RATE)
    assert first == pytest.approx((0.5, 1.0), abs=0.03)
    assert second == pytest.approx((1.6, 2.2), abs=0.03)


def test_closures_are_bridged_and_clicks_left_out():
    assert len(speech_spans(sound((0.5, 1.0), (1.08, 1.4)), RATE)) == 1
    assert speech_spans(sound((0.5, 0.51)), RATE) == []


def test_a_quiet_room_and_no_sound_at_all_are_no_speech():
    assert speech_spans(sound(), RATE) == []
    assert speech_spans(torch.zeros(10), RATE) == []
