"""Speech in another voice."""

import pytest
import torch

from moshi_zoo.data.pitch import pitch_hz
from moshi_zoo.data.revoicing import Revoicing
from moshi_zoo.spectrogram import MelSpectrogram
from tests.data.singing import PAUSE, RATE, VOWEL, voice


def spectrum(wav):
    """Mean log power, without the level, of the bands in which these voices have something while they speak, [M]."""
    bands = MelSpectrogram(RATE, 512, 30, min_hz=100, max_hz=4000, power=2)(wav).clamp(min=1e-9)
    energy = bands.sum(0)
    logs = bands[:, energy > energy.max() * 1e-3].log10().mean(1)
    return logs - logs.mean()


@pytest.mark.parametrize(("source_hz", "target_hz"), [(190.0, 130.0), (130.0, 190.0), (150.0, 150.0)])
def test_pitch_and_timbre_become_the_others(source_hz, target_hz):
    source, target = [voice(source_hz, 0.2)], [voice(target_hz, 1.5, "oieauuia")]
    said = voice(source_hz, 0.2, "uoaie")
    anew = Revoicing(source, target, RATE)(said)
    assert anew.shape == said.shape
    assert pitch_hz([anew], RATE) == pytest.approx(target_hz, rel=0.03)
    before, after = ((spectrum(x) - spectrum(target[0])).abs().mean() for x in (said, anew))
    assert after < 0.5 * before


def test_vowels_stay_what_they_were():
    said = voice(190.0, 0.2, "uoaie")
    anew = Revoicing([voice(190.0, 0.2)], [voice(130.0, 1.0)], RATE)(said)
    same = [voice(130.0, 1.0, vowel) for vowel in "uoaie"]
    for i, vowel in enumerate("uoaie"):
        part = anew[PAUSE + i * VOWEL :][:VOWEL]
        distances = [float((spectrum(part) - spectrum(x)).square().mean()) for x in same]
        assert distances.index(min(distances)) == i, vowel


def test_pauses_stay_quiet():
    anew = Revoicing([voice(190.0, 0.2)], [8 * voice(130.0, 1.5)], RATE)(voice(190.0, 0.2))
    assert anew[: PAUSE // 2].abs().max() < 1e-3


def test_nobody_has_no_voice():
    somebody, nobody = [voice(190.0, 0.2)], [torch.zeros(RATE)]
    with pytest.raises(ValueError, match="the voice to speak with: no voice is to be heard"):
        Revoicing(somebody, nobody, RATE)
    with pytest.raises(ValueError, match="the voice that speaks: no voice is to be heard"):
        Revoicing(nobody, somebody, RATE)
