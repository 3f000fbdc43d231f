"""How high a voice is, and speech made higher or lower."""

import pytest
import torch

from moshi_zoo.data.pitch import pitch_hz, raised

RATE = 16_000


def voice(hz, seconds=1.0):
    """Six harmonics of a tone, [S], that come and go four times a second."""
    time = torch.arange(round(seconds * RATE)) / RATE
    tone = sum(torch.sin(2 * torch.pi * hz * k * time) / k for k in range(1, 7))
    return 0.2 * tone * (0.6 + 0.4 * torch.sin(2 * torch.pi * 4 * time))


@pytest.mark.parametrize("hz", [80.0, 125.0, 210.0, 330.0])
def test_the_pitch_of_a_voice_is_found_beside_noise_and_silence(hz):
    wavs = [torch.cat([torch.zeros(RATE), voice(hz)]), 0.01 * torch.randn(100), voice(hz, 0.3)]
    assert pitch_hz(wavs, RATE) == pytest.approx(hz, rel=0.02)


@pytest.mark.parametrize("factor", [0.55, 0.8, 1.3, 1.9])
def test_a_raised_voice_has_another_pitch_and_lasts_as_long(factor):
    wav = voice(160.0, 2.0)
    higher = raised(wav, factor, RATE)
    assert higher.shape == wav.shape
    assert higher.dtype == torch.float32
    assert pitch_hz([higher], RATE) == pytest.approx(factor * 160, rel=0.03)
    before, after = (x.unfold(0, 800, 800).square().mean(1).sqrt() for x in (wav, higher))
    assert torch.corrcoef(torch.stack([before, after]))[0, 1] > 0.7, "what is loud stays where it was"


def test_a_difference_that_nobody_hears_changes_nothing():
    wav = voice(160.0)
    assert raised(wav, 1.01, RATE) is wav


@pytest.mark.parametrize("wavs", [[torch.zeros(RATE)], [torch.zeros(10)], [torch.randn(RATE)]])
def test_what_has_no_pitch_is_refused(wavs):
    with pytest.raises(ValueError, match="no voice is to be heard"):
        pitch_hz(wavs, RATE)
