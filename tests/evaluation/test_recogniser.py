"""A listener for single words."""

import pytest
import torch

from moshi_zoo.evaluation.measurement import Clip, CodedClip
from moshi_zoo.evaluation.recogniser import Example, Recognition, WordNet, train_recogniser
from tests.evaluation.steps import RATE, tone

PITCH = {"low": 300.0, "middle": 900.0, "high": 2400.0}


def examples(takes, *, seed):
    """Tones of a pitch, a length and a phase that vary."""
    generator = torch.Generator().manual_seed(seed)
    for word, hertz in PITCH.items():
        for vary in torch.rand(takes, 3, generator=generator).tolist():
            yield Example(tone(hertz * (0.9 + 0.2 * vary[0]), 0.15 + 0.2 * vary[1], phase=6 * vary[2]), word)


@pytest.fixture(scope="module")
def net():
    return train_recogniser(list(examples(16, seed=0)), RATE, epochs=8)


def test_it_knows_new_clips_at_any_level_and_in_noise(net):
    for wav, word in ((e.wav, e.word) for e in examples(5, seed=1)):
        assert net.hear(wav) == word
        assert net.hear(0.01 * wav) == word
        assert net.hear(wav + 0.05 * torch.randn(len(wav), generator=torch.Generator().manual_seed(2))) == word


def test_it_is_small_and_knows_its_words():
    net = WordNet([str(i) for i in range(10)], 24_000)
    assert 20_000 < sum(p.numel() for p in net.parameters()) < 35_000
    assert net.hear(torch.zeros(5)) in net.words  # however short


def test_the_seed_decides_and_other_randomness_is_left_alone():
    few = list(examples(2, seed=0))
    before = torch.random.get_rng_state()
    first, second, third = (train_recogniser(few, RATE, epochs=1, seed=s) for s in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state())
    weights = [torch.cat([p.flatten() for p in net.parameters()]) for net in (first, second, third)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_one_word_is_nothing_to_tell_apart():
    with pytest.raises(ValueError, match=r"two different words; these hold \['low'\]"):
        train_recogniser([Example(tone(300, 0.2), "low")], RATE)


def test_recognition_compares_the_original_and_what_was_decoded(net):
    wav = tone(PITCH["low"], 0.25)
    decoded = {1: tone(PITCH["high"], 0.3), 8: wav}
    heard = {
        m.key: v.value
        for m, v in Recognition(net)(CodedClip(Clip("a", wav, word="low"), wav, torch.zeros(1), decoded)).items()
    }
    assert heard == {"recognised": 1, "recognised@1": 0, "recognised@8": 1}


@pytest.mark.parametrize("word", [None, "unheard"])
def test_a_word_that_it_never_met_is_not_judged(net, word):
    wav = tone(300, 0.25)
    values = Recognition(net)(CodedClip(Clip("a", wav, word=word), wav, torch.zeros(1), {1: wav})).values()
    assert [v.value != v.value for v in values] == [True, True]
