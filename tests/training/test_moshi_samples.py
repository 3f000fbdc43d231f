"""What is said of a few conversations."""

import pytest
import torch

from moshi_zoo.models.replies import Replies
from moshi_zoo.registry import build
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.training.moshi_samples import _measured, _Words

TOKENIZER = Tokenizer.train(["one two three"] * 3, vocab_size=300, control_tokens=3, size="at most")


def said(*words):
    """A row of text of 50 frames with words, those in brackets heard; nothing sounds."""
    row = [TOKENIZER.pad]
    for word in words:
        row += [TOKENIZER.heard] if word.startswith("[") else [TOKENIZER.epad]
        row += TOKENIZER.encode(" " + word.strip("[]"))
    text = torch.tensor([row + [TOKENIZER.pad] * (50 - len(row))])
    return Replies(text, torch.zeros(1, 4, 50, dtype=torch.int64))


@pytest.fixture(scope="module")
def words():
    return _Words(build("moshi-tiny", vocab_size=320), TOKENIZER)


def test_what_is_heard_is_neither_said_nor_repeated(words):
    spoken = said("one", "two", "[three]", "[three]", "[three]", "three")
    assert [words.spelled(row) for row in words.own(spoken)] == [" one two three"]
    assert [words.spelled(row) for row in words.heard(spoken)] == [" three three three"]
    own = _measured(words, said("one", "two", "three"))
    assert {name: own[name] for name in ("tokens", "repeated")} == pytest.approx(
        {name: _measured(words, spoken)[name] for name in ("tokens", "repeated")}
    )
    assert _measured(words, said(*["[one]"] * 4))["tokens"] == 0


def test_captions_show_both_sides_if_there_are_two(words):
    sides = words.captions(said("one", "[two]").text[0])
    assert [[word.strip() for _, word in captions] for captions in sides.values()] == [["one"], ["two"]]
    assert list(words.captions(said("one").text[0])) == ["Moshi says"]
