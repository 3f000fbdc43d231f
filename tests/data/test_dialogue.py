import pytest

from moshi_zoo.data.dialogue import Dialogue, Turn, is_right, normalise_answer


def test_a_script_has_a_line_for_each_turn_and_dots_for_silence():
    turns = (Turn("user", "hmm."), Turn("moshi", ""), Turn("user", "what is one plus one?"), Turn("moshi", "two."))
    assert Dialogue("sums", turns).text == "user: hmm.\nmoshi: ...\nuser: what is one plus one?\nmoshi: two."


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("  It's SEVEN, thanks! ", "it's seven thanks"),
        ("4 and 12", "four and twelve"),
        ("42", "forty two"),
        ("314", "three one four"),
        ("...", ""),
    ],
)
def test_answers_are_compared_as_spoken_words(text, plain):
    assert normalise_answer(text) == plain


@pytest.mark.parametrize(
    ("reply", "expected", "right"),
    [
        ("That is seven.", "seven", True),
        ("Okay, three one four.", "three one four", True),
        ("314", "three one four", True),
        ("three one four one", "three one four", False),
        ("two three one four", "three one four", False),
        ("seventeen", "seven", False),
        ("three plus four is seven", "seven", True),
        ("sunday", "monday", False),
        ("twenty one", "twenty", False),
        ("", "", True),
        ("Yes?", "", False),
        ("", "seven", False),
    ],
)
def test_a_reply_is_right_if_it_gives_the_whole_answer_and_no_longer_one(reply, expected, right):
    assert is_right(reply, expected) is right
