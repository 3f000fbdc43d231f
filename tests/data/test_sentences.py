import random

import pytest

from moshi_zoo.data.sentences import number_in_words, sentence


def test_sentences_are_many_and_follow_the_seed():
    rng = random.Random(0)
    sentences = [sentence(rng) for _ in range(5000)]
    assert len(set(sentences)) > 4000
    assert len({word.strip(".,?!") for text in sentences for word in text.split()}) > 600
    again = random.Random(0)
    assert sentences[:50] == [sentence(again) for _ in range(50)]


def test_sentences_are_spelled_as_they_are_spoken():
    rng = random.Random(1)
    for text in (sentence(rng) for _ in range(2000)):
        assert text[0].isupper()
        assert text[-1] in ".?!"
        assert not any(character.isdigit() or character in "{}_" for character in text), text
        assert not any(wrong in text for wrong in (" a apple", " a old", " an useful", " a empty")), text


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (40, "forty"),
        (85, "eighty-five"),
        (300, "three hundred"),
        (1207, "one thousand two hundred and seven"),
        (5042, "five thousand and forty-two"),
        (120000, "one hundred and twenty thousand"),
    ],
)
def test_numbers_in_words(number, words):
    assert number_in_words(number) == words


def test_numbers_outside_of_the_range_are_refused():
    with pytest.raises(ValueError, match="1000000"):
        number_in_words(1_000_000)
