"""The speaker embedding."""

import pytest
import torch

from moshi_zoo.evaluation.voiceprint import SAMPLE_RATE, SECONDS, learn, statistics, stretches
from tests.evaluation.voices import speak


@pytest.fixture(scope="module")
def voiceprint():
    takes = [(who, take) for who in range(12) for take in range(3)]
    return learn([statistics(speak(who, take, 3.0)) for who, take in takes], [str(who) for who, _ in takes])


def test_people_it_never_heard_are_told_apart(voiceprint):
    found = torch.stack(
        [torch.stack([voiceprint(speak(who, take, 3.0)) for take in range(2)]) for who in range(50, 56)]
    )
    assert torch.allclose(found.norm(dim=-1), torch.ones(6, 2))
    similarity = found[:, 0] @ found[:, 1].T  # [person, person]
    assert (similarity.argmax(1) == torch.arange(6)).all()
    others = similarity[~torch.eye(6, dtype=torch.bool)]
    assert similarity.diagonal().mean() > others.mean() + 0.5


def test_level_does_not_matter(voiceprint):
    wav = speak(60, 0, 3.0)
    assert torch.allclose(voiceprint(wav), voiceprint(0.1 * wav), atol=0.02)


def test_too_few_people_teach_nothing():
    with pytest.raises(ValueError, match="1 speakers are too few"):
        learn([torch.zeros(3)], ["x"])


def test_silence_is_nobody():
    with pytest.raises(ValueError, match="too little speech"):
        statistics(torch.zeros(1000))


def test_stretches_leave_long_pauses_out():
    wav = torch.cat([speak(1, 0, 5.0), torch.zeros(5 * SAMPLE_RATE), speak(1, 1, 6.0)])
    parts = stretches(wav)
    assert [len(part) for part in parts[:-1]] == [round(SECONDS * SAMPLE_RATE)] * 2
    assert sum(map(len, parts)) / SAMPLE_RATE == pytest.approx(11, abs=0.6)
    assert stretches(torch.zeros(10)) == []
