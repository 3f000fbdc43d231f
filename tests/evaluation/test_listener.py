"""The independent listener: what it is taught, what it makes of it, and that it learns."""

import random

import pytest
import torch

from moshi_zoo.data.dialogue_audio_voices import MOSHI
from moshi_zoo.data.espeak import Engine, Interval
from moshi_zoo.evaluation.answers import common_words
from moshi_zoo.evaluation.listener import FRAME_S, LISTENING_RATE, Listener
from moshi_zoo.evaluation.listener_training import Plan, Row, fit, sounds_alike, spoken_row, targets

WORDS = ["eight", "one", "seven", "two"]


@pytest.fixture
def listener():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Listener(WORDS, {"to": "two"}, width=48, dilations=(1, 2, 1)).eval()


def test_words_that_sound_alike_are_one_word(listener):
    pytest.importorskip("espeakng_loader")
    assert sounds_alike(["eight", "one", "right", "to", "two", "write"], Engine()) == {"to": "two", "write": "right"}
    assert listener.heard_as("To, one.") == "two one"
    assert listener.knows("to")
    assert not listener.knows("three")


def test_the_middle_of_a_word_is_what_is_taught(listener):
    words = [Interval("two", 0.5, 1.0), Interval("unheard of", 1.2, 1.5), Interval("one", 1.6, 1.64)]
    classes = targets(Row(torch.zeros(2 * LISTENING_RATE), words), listener, 40).tolist()
    two, one = 1 + WORDS.index("two"), 1 + WORDS.index("one")
    assert classes == [0] * 12 + [two] * 5 + [0] * 15 + [one] + [0] * 7


def test_each_stretch_of_frames_with_a_word_is_one_word(listener):
    shares = torch.zeros(5, 20)
    shares[0] = 1.0
    for frames, word in ((range(4, 7), "one"), (range(8, 10), "one"), (range(15, 18), "two")):
        for frame in frames:
            shares[0, frame], shares[1 + WORDS.index(word), frame] = 0.2, 0.8
    shares[1:, 5] = torch.tensor([0.6, 0.2, 0.0, 0.0])  # in doubt for a moment
    heard = listener._words(shares)
    assert [word.text for word in heard] == ["one", "one", "two"]
    assert [word.start_s for word in heard] == pytest.approx([5.5 * FRAME_S, 9 * FRAME_S, 16.5 * FRAME_S])


def test_level_does_not_matter_and_silence_is_silent(listener):
    wav = torch.randn(LISTENING_RATE, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(listener.spectrum(wav), listener.spectrum(0.1 * wav))
    assert listener.spectrum(1e-4 * wav).max() < 0.1


def test_a_saved_listener_is_the_same(listener, tmp_path):
    listener.save(tmp_path)
    again = Listener.load(tmp_path)
    spectrum = torch.rand(1, 40, 80)
    torch.testing.assert_close(again(spectrum), listener(spectrum), rtol=0, atol=0)
    assert again.heard_as("to") == "two"


def test_words_that_are_spoken_as_one_share_its_time():
    pytest.importorskip("espeakng_loader")
    row = spoken_row(["of", "the"], MOSHI, Engine(), random.Random(0))
    assert [word.text for word in row.words] == ["of", "the"]
    assert row.words[0].end_s == pytest.approx(row.words[1].start_s)
    assert 0.1 < row.words[1].end_s - row.words[0].start_s < 0.6


def test_a_listener_learns_words_in_any_order(listener):
    pytest.importorskip("espeakng_loader")
    engine, rng = Engine(), random.Random(0)
    rows = [spoken_row(rng.choices(WORDS, k=4), MOSHI, engine, rng) for _ in range(40)]
    before = torch.get_rng_state()
    with torch.random.fork_rng():
        fit(listener, rows[:32], Plan(epochs=15, batch_size=8))
    assert torch.equal(torch.get_rng_state(), before)
    listener.eval()
    right = said = 0
    for row in rows[32:]:
        words = listener.heard_as(" ".join(word.text for word in row.words)).split()
        heard = [word.text for word in listener.hear(row.wav, LISTENING_RATE)]
        right, said = right + common_words(words, heard), said + max(len(words), len(heard))
    assert right / said > 0.8
