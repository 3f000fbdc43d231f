"""Whose voice do replies have?"""

import pytest
import torch

from moshi_zoo.evaluation.voice_suite import CODED, OTHERS, TARGET, Voice, evaluate_voice, learn_voiceprint
from moshi_zoo.evaluation.voiceprint import SAMPLE_RATE
from tests.evaluation.voices import speak


class Muffling:
    """A codec that takes the edge off."""

    sample_rate, frame_rate, num_codebooks, codebook_size = SAMPLE_RATE, 12.5, 1, 2

    def encode(self, wav):
        return wav

    def decode(self, codes):
        return 0.5 * (codes + codes.roll(1, -1))


@pytest.fixture(scope="module")
def report():
    voices = [Voice(str(who), speak(who, take, 4.0)) for who in range(12) for take in range(2)]
    voiceprint = learn_voiceprint(voices, Muffling(), step=lambda: None)
    return evaluate_voice(
        voiceprint,
        Muffling(),
        target=[Voice("her", speak(70, take, 4.5)) for take in range(3)],
        others=[Voice(str(who), speak(who, 0, 4.5)) for who in range(80, 86)],
        replies={"before": speak(90, 0, 9.0), "after": speak(70, 9, 9.0)},
        base="before",
    )


def test_a_voice_that_is_hers_reaches_the_ceiling_and_another_does_not(report):
    similarity = {name: figure.value for name, figure in report.similarity.items()}
    assert set(similarity) == {TARGET, CODED, OTHERS, "before", "after"}
    assert similarity["after"] > 0.8
    assert similarity[OTHERS] < 0.5
    assert report.reached["after"] == pytest.approx(
        (similarity["after"] - similarity[OTHERS]) / (similarity[CODED] - similarity[OTHERS])
    )
    assert report.reached["after"] > 0.8
    assert report.reached["before"] < 0.7


def test_replies_are_beside_the_voice_before(report):
    assert report.closer["after"].value == 1
    assert report.closer["before"].value == 0


def test_one_recording_is_not_enough_to_say_how_alike_she_is_to_herself(report):
    voices = [Voice(str(who), speak(who, take, 3.0)) for who in range(8) for take in range(2)]
    voiceprint = learn_voiceprint(voices, Muffling(), step=lambda: None)
    with pytest.raises(ValueError, match="1 recordings of the target"):
        evaluate_voice(
            voiceprint,
            Muffling(),
            target=[voices[0]],
            others=voices[1:],
            replies={"before": torch.zeros(10)},
            base="before",
        )
