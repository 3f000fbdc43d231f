"""Which segments are compared, and how the comparisons are averaged."""

from collections import Counter

import numpy as np
import pytest

from moshi_zoo.evaluation.triples import Triples, mean_over_contrasts, sample_triples

# Three speakers; "c" is said by one of them alone, and once.
SAID = [*(("s1", w) for w in "aaabbc"), *(("s2", w) for w in "aab"), *(("s3", w) for w in "b")]
SPEAKERS, LABELS = zip(*SAID, strict=True)


def listed(triples):
    return list(zip(triples.a.tolist(), triples.b.tolist(), triples.x.tolist(), strict=True))


@pytest.mark.parametrize("mode", ["within", "across"])
def test_triples_are_what_they_should_be_and_never_the_same(mode):
    triples = sample_triples(LABELS, SPEAKERS, mode=mode, limit=1000, seed=0)
    assert len(set(listed(triples))) == len(triples) > 0
    for a, b, x in listed(triples):
        assert LABELS[a] == LABELS[x] != LABELS[b]
        assert a != x
        assert SPEAKERS[a] == SPEAKERS[b]
        assert (SPEAKERS[x] == SPEAKERS[a]) == (mode == "within")
    assert (np.diff(triples.cell) >= 0).all()
    assert (np.diff(triples.contrast) >= 0).all()


def test_with_a_high_limit_all_triples_are_there():
    within = sample_triples(LABELS, SPEAKERS, mode="within", limit=10_000, seed=0)
    # s1: a-b 3*2*2, a-c 3*2*1, b-a 2*1*3, b-c 2*1*1; s2: a-b 2*1*1
    assert len(within) == 12 + 6 + 6 + 2 + 2
    across = sample_triples(LABELS, SPEAKERS, mode="across", limit=10_000, seed=0)
    # a-b: s1 with x of s2 3*2*2, s2 with x of s1 2*1*3; b-a: s1 x s2, s3: 2*3*1 each, s2 x s1 1*2*2, s2 x s3 1*2*1
    # a-c: s1 x s2 3*1*2; b-c: s1 x s2, s3: 2*1*1 each
    assert len(across) == 12 + 6 + 6 + 6 + 4 + 2 + 6 + 2 + 2


def test_contrasts_get_equal_shares_of_the_limit():
    labels, speakers = list("aabbcc" * 30), ["s1"] * 60 + ["s2"] * 120
    triples = sample_triples(labels, speakers, mode="within", limit=120, seed=0)
    assert set(Counter(triples.contrast.tolist()).values()) == {20}  # of 6 contrasts
    assert set(Counter(triples.cell.tolist()).values()) == {10}


def test_with_more_contrasts_than_triples_some_contrasts_are_drawn():
    labels = [f"{i // 2}" for i in range(40)]  # 20 words, twice each
    triples = sample_triples(labels, ["s"] * 40, mode="within", limit=50, seed=0)
    assert len(triples) == len(set(triples.contrast.tolist())) == 50


def test_the_seed_decides():
    draw = [listed(sample_triples(LABELS, SPEAKERS, mode="across", limit=8, seed=seed)) for seed in (0, 0, 1)]
    assert draw[0] == draw[1] != draw[2]


@pytest.mark.parametrize("mode", ["within", "across"])
def test_without_anything_to_compare_there_are_no_triples(mode):
    assert not len(sample_triples(["a", "b"], ["s", "s"], mode=mode, limit=10, seed=0))
    assert not len(sample_triples([], [], mode=mode, limit=10, seed=0))


def test_the_mean_is_over_contrasts_of_speakers_of_triples():
    index = np.arange(6)
    triples = Triples(index, index, index, contrast=np.array([0, 0, 0, 0, 1, 1]), cell=np.array([0, 0, 0, 1, 2, 2]))
    values = np.array([1.0, 0, 0, 0, 1, 0])
    assert mean_over_contrasts(values, triples) == pytest.approx([((1 / 3 + 0) / 2 + 1 / 2) / 2])
    weights = np.array([[2.0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 3, 1], np.zeros(6)])
    np.testing.assert_allclose(mean_over_contrasts(values, triples, weights), [0.5, (0 + 0.75) / 2, np.nan])
