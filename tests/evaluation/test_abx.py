"""ABX errors of features whose quality is known."""

import pytest
import torch

from moshi_zoo.evaluation.abx import Abx, segment_frames
from moshi_zoo.evaluation.measurement import Clip, Segment

RATE = 12.5
WORDS = ("yes", "no", "maybe")


def run(features, *, speakers=("s1", "s2"), takes=12, limit=2000):
    """ABX over clips of one word each; ``features(word, speaker, T)`` gives their frames."""
    abx = Abx(RATE, limit=limit)
    for speaker in speakers:
        for word in WORDS:
            for take in range(takes):
                T = 2 + take % 3
                clip = Clip(f"{speaker}{word}{take}", torch.zeros(1), speaker, word, (Segment(word, 0, T / RATE),))
                abx.add(clip, {"x": features(word, speaker, T)})
    figures, skipped = abx.figures(resamples=100, seed=0)
    return {f.measure.name: f for f in figures}, skipped


def one_hot(word, speaker, T):
    return torch.eye(len(WORDS))[WORDS.index(word)].expand(T, -1)


def test_features_that_are_the_label_make_no_error():
    figures, skipped = run(one_hot)
    assert not skipped
    for figure in figures.values():
        assert figure.value == 0
        assert figure.interval.low == figure.interval.high == 0


def test_noise_is_at_chance_and_the_interval_knows():
    generator = torch.Generator().manual_seed(0)
    figures, _ = run(lambda word, speaker, T: torch.randn(T, 8, generator=generator))
    for figure in figures.values():
        assert figure.value == pytest.approx(0.5, abs=0.06)
        assert figure.interval.low < 0.5 < figure.interval.high
        assert figure.interval.high - figure.interval.low < 0.3


def test_features_that_are_all_the_same_are_at_chance_exactly():
    figures, _ = run(lambda word, speaker, T: torch.full((T, 512), 0.1))
    assert {figure.value for figure in figures.values()} == {0.5}


def test_features_that_change_with_the_speaker_fail_only_across_speakers():
    def features(word, speaker, T):
        turned = WORDS.index(word) + (speaker == "s2")  # s2 says "yes" like s1 says "no"
        return torch.eye(4)[turned].expand(T, -1)

    figures, _ = run(features)
    assert figures["abx_within_x"].value == 0
    assert figures["abx_across_x"].value > 0.5


def test_the_number_of_triples_is_capped_and_told():
    figures, _ = run(one_hot, limit=60)
    assert {figure.count for figure in figures.values()} == {60}


def test_what_cannot_be_compared_is_skipped_with_the_reason():
    figures, skipped = run(one_hot, speakers=("s1",))
    assert list(figures) == ["abx_within_x"]
    assert "no two speakers say the same word" in skipped["abx_across"]
    figures, skipped = run(one_hot, speakers=("s1", "s2"), takes=1)
    assert list(figures) == ["abx_across_x"]
    assert "no speaker says one word twice" in skipped["abx_within"]
    figures, skipped = run(one_hot, speakers=(None,))
    assert not figures
    assert "no segment has a label and a known speaker" in skipped["abx_within"] == skipped["abx_across"]


@pytest.mark.parametrize(
    ("start_s", "end_s", "expected"),
    [
        (0.0, 0.8, range(10)),
        (0.08, 0.24, [1, 2]),
        (0.1, 0.3, [1, 2, 3]),  # middles of 1, 2 and 3: 0.12, 0.20, 0.28
        (0.125, 0.19, [1]),  # no middle inside: the frame around 0.1575
        (0.0, 0.01, [0]),
        (0.79, 0.9, [9]),  # beyond the end
    ],
)
def test_the_frames_of_a_segment_are_those_whose_middle_lies_in_it(start_s, end_s, expected):
    frames = torch.arange(10)[:, None]
    assert segment_frames(frames, Segment("x", start_s, end_s), RATE)[:, 0].tolist() == list(expected)
