"""Scores of decoded clips."""

import importlib.machinery
import importlib.util
import math
import sys

import pytest
import torch

from moshi_zoo.evaluation.measurement import Clip, CodedClip
from moshi_zoo.evaluation.quality import Quality
from moshi_zoo.evaluation.speaker import MFCC_SIMILARITY, SpeakerSimilarity, mfcc_similarity
from tests.evaluation.steps import RATE, speech, tone

FAKE_PESQ = """
class PesqError:
    RETURN_VALUES = 1

def pesq(rate, reference, estimate, mode, on_error):
    assert on_error == PesqError.RETURN_VALUES
    assert rate == {"wb": 16000, "nb": 8000}[mode]
    assert abs(len(reference) - 0.6 * rate) < 2 and len(reference) == len(estimate)
    error = abs(reference - estimate).mean()
    return -1 if error > 0.05 else 4.5 - 50 * error
"""


def measure(target, decoded, **settings):
    defaults = {"max_hz": None, "similarity": MFCC_SIMILARITY, "device": torch.device("cpu")}
    quality = Quality(RATE, **(defaults | settings))
    values = quality(CodedClip(Clip("a", target), target, torch.zeros(2, 1), decoded))
    return {measure.key: value.value for measure, value in values.items()}


def test_each_number_of_codebooks_has_its_scores():
    target = speech()
    noise = 0.1 * torch.randn(len(target) + 5)
    scores = measure(target, {1: torch.cat([target, target[:5]]) + noise, 8: torch.cat([target, target[:5]])})
    assert scores["si_sdr@8"] > 60
    assert scores["stoi@8"] == pytest.approx(1, abs=1e-4)
    assert scores["mel@8"] == scores["stft@8"] == pytest.approx(0, abs=1e-5)
    assert scores["mfcc_similarity@8"] == pytest.approx(1, abs=1e-5)
    assert scores["si_sdr@1"] < 20
    assert scores["stoi@1"] < 0.95
    assert scores["mel@1"] > 0.1
    assert scores["stft@1"] > 0.1
    assert scores["mfcc_similarity@1"] < scores["mfcc_similarity@8"]


@pytest.mark.parametrize("target", [torch.zeros(4800), tone(200, 0.02)], ids=["silent", "short"])
def test_what_is_silent_or_too_short_has_no_scores(target):
    scores = measure(target, {1: target})
    assert scores
    assert all(math.isnan(score) for score in scores.values())


def test_pesq_is_measured_in_both_bands_where_it_is_installed(monkeypatch):
    module = importlib.util.module_from_spec(importlib.machinery.ModuleSpec("pesq", loader=None))
    exec(FAKE_PESQ, vars(module))
    monkeypatch.setitem(sys.modules, "pesq", module)
    target = speech()
    scores = measure(target, {1: target + 0.3, 2: target})
    assert scores["pesq_wb@2"] == scores["pesq_nb@2"] == 4.5
    assert math.isnan(scores["pesq_wb@1"])  # no speech was found
    assert math.isnan(measure(target[:1990], {2: target[:1990]})["pesq_wb@2"])  # under a quarter of a second


def test_without_pesq_the_reason_is_told(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    quality = Quality(RATE, max_hz=None, similarity=MFCC_SIMILARITY, device=torch.device("cpu"))
    assert "not installed" in quality.skipped["pesq"]
    assert "extra `eval`" in quality.skipped["pesq"]
    assert not quality.pesq


def test_another_comparison_of_voices_can_be_hooked_in():
    heard = []

    def compare(first, second, sample_rate):
        heard.append((first.shape, second.shape, sample_rate))
        return 0.25

    target = speech()
    scores = measure(target, {4: target}, similarity=SpeakerSimilarity("sim", "SIM", compare))
    assert scores["sim@4"] == 0.25
    assert "mfcc_similarity@4" not in scores
    assert heard == [(target.shape, target.shape, RATE)]


def test_the_default_similarity_hears_timbre_not_level():
    dark = torch.nn.functional.avg_pool1d(speech(1.0, seed=0)[None], 8, 1)[0]
    dark_again = torch.nn.functional.avg_pool1d(speech(1.0, seed=1)[None], 8, 1)[0]
    bright = speech(1.0, seed=2)
    assert mfcc_similarity(dark, 0.1 * dark, RATE) == pytest.approx(1, abs=1e-2)
    assert mfcc_similarity(dark, dark_again, RATE) > mfcc_similarity(dark, bright, RATE) + 0.1
    assert math.isnan(mfcc_similarity(dark[:100], dark[:100], RATE))
