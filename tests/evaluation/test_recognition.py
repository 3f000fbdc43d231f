"""What is written down beside what was said."""

import pytest

from moshi_zoo.data.alignments import OTHER, Word
from moshi_zoo.evaluation.recognition import LISTENING, TALKING, recognition
from moshi_zoo.runtime.words import SpokenWord

SAID = [Word("Two", 0.0, 0.4, OTHER), Word("apples,", 0.5, 0.9, OTHER), Word("nine.", 1.0, 1.4, OTHER)]


def written(*words):
    return [SpokenWord(text, 0.0, frame, (1,) * num_tokens, "user") for text, frame, num_tokens in words]


def test_errors_are_those_of_words_and_the_delay_ends_with_the_last_token():
    found = recognition(
        SAID, written(("two", 6, 1), ("pears", 10, 2), ("nine", 20, 3)), frame_rate=10, measures=TALKING
    )
    assert (found.said, found.heard) == ("two apples nine", "two pears nine")
    values = {measure.name: value for measure, value in found.measured.values.items()}
    assert values["heard_word_error_rate"].value == pytest.approx(1 / 3)
    assert values["heard_word_error_rate"].weight == 3
    assert values["heard_digit_error_rate"].value == 0
    assert found.measured.events[TALKING.delay] == pytest.approx([0.6 - 0.4, 2.2 - 1.4])


def test_what_is_heard_where_nobody_speaks_has_no_rate():
    found = recognition([], written(("two", 6, 1)), frame_rate=10, measures=LISTENING)
    assert all(value.value != value.value for value in found.measured.values.values())
    missed = recognition(SAID, [], frame_rate=10, measures=LISTENING)
    assert missed.measured.values[LISTENING.words].value == 1
    assert missed.measured.events[LISTENING.delay] == []
