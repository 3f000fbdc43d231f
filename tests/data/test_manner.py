"""Recorded speech in somebody else's manner."""

import random

import numpy as np
import pytest
import soxr
import torch

from moshi_zoo.data.manner import Manner
from moshi_zoo.data.pitch import pitch_hz

RATE = 16_000


def vowel(hz=150.0, resonance_hz=1000.0, seconds=1.0):
    """A tone with all harmonics, loud around a resonance, [S]."""
    time = np.arange(round(seconds * RATE)) / RATE
    harmonics = np.arange(1, int(6000 / hz)) * hz
    levels = np.exp(-(((harmonics - resonance_hz) / 250) ** 2)) + 0.02
    return (0.05 * levels @ np.sin(2 * np.pi * harmonics[:, None] * time)).astype(np.float32)


def resonance_hz(wav):
    """The centre of what is loud."""
    power = np.abs(np.fft.rfft(wav)) ** 2
    return float((power * np.fft.rfftfreq(len(wav), 1 / RATE)).sum() / power.sum())


def pitch(wav):
    return pitch_hz([torch.from_numpy(wav)], RATE)


def test_a_manner_like_the_recording_s_changes_next_to_nothing():
    said = Manner()(vowel(), RATE)
    assert len(said) == RATE
    inner = slice(1000, -1000)
    assert np.corrcoef(said[inner], vowel()[inner])[0, 1] > 0.99


@pytest.mark.parametrize("throat", [0.85, 1.2])
def test_a_throat_moves_the_resonances_and_not_the_pitch(throat):
    said = Manner(throat=throat)(vowel(), RATE)
    assert resonance_hz(said) == pytest.approx(throat * resonance_hz(vowel()), rel=0.08)
    assert pitch(said) == pytest.approx(150, rel=0.02)
    assert len(said) == pytest.approx(RATE, rel=0.01)


@pytest.mark.parametrize("factor", [0.8, 1.3])
def test_a_pitch_moves_and_the_resonances_stay(factor):
    said = Manner(pitch=factor)(vowel(), RATE)
    assert pitch(said) == pytest.approx(factor * 150, rel=0.03)
    assert resonance_hz(said) == pytest.approx(resonance_hz(vowel()), rel=0.09)


@pytest.mark.parametrize("tempo", [0.8, 1.35])
def test_a_tempo_changes_how_long_it_takes_alone(tempo):
    said = Manner(tempo=tempo)(vowel(), RATE)
    assert len(said) == pytest.approx(RATE / tempo, rel=0.01)
    assert pitch(said) == pytest.approx(150, rel=0.03)
    assert resonance_hz(said) == pytest.approx(resonance_hz(vowel()), rel=0.09)


def test_a_click_stays_where_it_is_and_nothing_is_heard_before_it():
    wav = np.zeros(RATE, np.float32)
    wav[8000:8400] = vowel()[:400]
    said = Manner(throat=1.1)(wav, RATE)
    assert abs(int(np.abs(said).argmax()) - int(np.abs(wav).argmax())) < 0.02 * RATE
    assert np.abs(said[:7000]).max() < 1e-3


def test_everybody_drawn_is_somebody_else_and_plausible():
    manners = [Manner.draw(random.Random(seed)) for seed in range(50)]
    assert len(set(manners)) == 50
    for manner in manners:
        assert all(0.65 < value < 1.5 for value in (manner.pitch, manner.throat, manner.tempo))
    said = manners[0](soxr.resample(vowel(), RATE, 22_050), 22_050)
    assert np.isfinite(said).all()
    assert 0.3 < np.std(said) / np.std(vowel()) < 3
