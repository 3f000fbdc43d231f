"""What of a recording is encoded."""

import pytest
import torch

from moshi_zoo.data.alignments import MAIN, OTHER, Word
from moshi_zoo.data.code_views import choose_main_speaker, separated, to_mono, turns
from tests.data.sounds import noise

RATE = 1000
TALK = [Word("hello", 0.2, 0.5, "anna"), Word("there", 0.7, 0.9, "anna"), Word("hi", 1.4, 1.6, "ben")]


def test_the_main_speaker_is_one_of_them_and_the_lot_decides():
    mains = {tuple(word.speaker for word in choose_main_speaker(TALK, f"{i}.wav")) for i in range(20)}
    assert mains == {(MAIN, MAIN, OTHER), (OTHER, OTHER, MAIN)}
    assert choose_main_speaker(TALK, "a.wav") == choose_main_speaker(TALK[::-1], "a.wav")[::-1]
    assert choose_main_speaker([], "a.wav") == []


def test_words_close_together_are_one_turn():
    assert turns(TALK, "anna") == [pytest.approx((0.1, 1.0))]
    assert turns([*TALK, Word("anna", 1.7, 1.8, "anna")], "anna")[1] == pytest.approx((1.6, 1.9))
    assert turns(TALK, "nobody") == []


def test_the_main_speaker_s_turns_and_all_else_add_up_to_the_recording():
    wav = noise(2.0, RATE, 2)
    first, rest = torch.cat(list(separated(wav.split(300, dim=1), [(0.1, 1.0), (1.5, 9.0)], RATE)), dim=1)
    assert torch.equal(first + rest, to_mono(wav)[0])
    spoken = torch.zeros(2000, dtype=torch.bool)
    spoken[100:1000] = spoken[1500:] = True
    assert (first[~spoken] == 0).all()
    assert (rest[spoken] == 0).all()


def test_mixing_never_clips():
    assert to_mono(torch.ones(2, 5)).max() == 1
