"""Settings of conversations: the modes are those of training, temperatures are the model's unless others are named."""

import dataclasses
from typing import get_args

from moshi_zoo.data.dialogue_modes import ModeName, mark
from moshi_zoo.models.sampling import Sampler
from moshi_zoo.runtime.settings import Mode, TalkSettings, opening_token
from moshi_zoo.zoo.sampling import Sampling
from tests.runtime.pairs import tokenizer


def test_conversations_begin_with_the_marks_of_training():
    assert get_args(Mode) == get_args(ModeName)
    for mode in get_args(Mode):
        assert opening_token(mode, tokenizer(), pad=3) == (mark(mode, tokenizer()) or 3)


def test_temperatures_that_are_not_named_are_those_of_the_model():
    calm = Sampling(0.3, 0.5)
    assert TalkSettings(text_top_k=5, seed=3).of(calm) == TalkSettings(0.3, 5, 0.5, seed=3)
    assert TalkSettings(0.0, audio_temperature=1.2).of(calm) == TalkSettings(0.0, audio_temperature=1.2)
    assert TalkSettings(0.0).of(calm).audio == Sampler(0.5, 250)


def test_of_a_model_that_says_nothing_temperatures_are_those_of_kyutais_server():
    assert (TalkSettings().text, TalkSettings().audio) == (Sampler(0.7, 25), Sampler(0.8, 250))
    assert dataclasses.astuple(Sampling()) == (0.7, 0.8)
