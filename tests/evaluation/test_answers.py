"""Answers, judged word for word."""

import pytest

from moshi_zoo.evaluation.answers import SpokenWord, answers, common_words
from moshi_zoo.evaluation.script import Question

QUESTION = Question("three one four", asked_s=2.0, start_s=1.7, end_s=5.0)


def judged(*words, question=QUESTION):
    (answer,) = answers([question], [SpokenWord(text, start) for text, start in words])
    return answer


def test_the_expected_words_in_a_row_are_right():
    answer = judged(("sure,", 2.2), ("three", 2.6), ("one", 2.9), ("four.", 3.2))
    assert answer.right
    assert (answer.words_right, answer.num_words, answer.digits_right, answer.num_digits) == (3, 3, 3, 3)


@pytest.mark.parametrize(
    "words",
    [
        [("three", 2.2), ("four", 2.5), ("one", 2.8)],  # another order
        [("three", 2.2), ("one", 2.5), ("sorry", 2.8), ("four", 3.1)],  # something in between
        [("three", 2.2), ("one", 2.5), ("four", 2.8), ("five", 3.1)],  # a longer row of numbers
        [("three", 1.0), ("one", 1.2), ("four", 1.4)],  # before the question was over
        [("three", 5.2), ("one", 5.4), ("four", 5.6)],  # after the next one
        [],
    ],
)
def test_other_words_another_order_or_another_time_are_wrong(words):
    assert not judged(*words).right


def test_words_that_are_right_count_in_a_wrong_answer():
    answer = judged(("three", 2.2), ("four", 2.5))
    assert not answer.right
    assert (answer.words_right, answer.num_words) == (2, 3)


def test_where_silence_is_right_any_word_is_wrong():
    silence = Question("", asked_s=2.0, start_s=1.7, end_s=5.0)
    assert judged(question=silence).right
    assert not judged(("okay", 3.0), question=silence).right


def test_common_words_are_the_longest_common_subsequence():
    assert common_words(["a", "b", "c", "d"], ["x", "b", "a", "c", "y", "d"]) == 3
    assert common_words([], ["a"]) == common_words(["a"], []) == 0
