"""What is said of a row of text, and when two say different things."""

import pytest

from moshi_zoo.zoo.text_layout import TextLayout

HEARING = TextLayout("moshi_and_heard", {"duplex": 0.0, "tts": 0.4, "heard": -0.48})


@pytest.mark.parametrize(
    "other",
    [
        HEARING,
        TextLayout(),
        TextLayout("moshi_and_heard", {"duplex": 0.0, "asr": -2.0, "heard": -0.48}),
        TextLayout("moshi", {"tts": 0.4}),  # no conversations, in which alone it matters of whom words are
        TextLayout("", {"duplex": 0.0}),
        TextLayout("moshi_and_heard", {"heard": -0.24 - 0.24, "tts": 0.1 + 0.3}),
    ],
)
def test_layouts_that_agree_in_what_both_know_do_not_contradict(other):
    assert not HEARING.contradicts(other)
    assert not other.contradicts(HEARING)


@pytest.mark.parametrize(
    "other",
    [
        TextLayout("moshi", {"duplex": 0.0}),
        TextLayout("moshi_and_heard", {"duplex": 0.0, "heard": -0.4}),
        TextLayout("", {"tts": 2.0}),
        TextLayout("moshi_and_heard", {"duplex": 0.2, "heard": -0.48}),
    ],
)
def test_layouts_that_say_different_things_contradict(other):
    assert HEARING.contradicts(other)
    assert other.contradicts(HEARING)


def test_a_layout_is_extended_by_what_it_does_not_know():
    added = TextLayout("moshi", {"duplex": 0.2, "asr": -2.0})
    assert HEARING.extended(added) == TextLayout("moshi_and_heard", {**HEARING.delays_s, "asr": -2.0})
    assert TextLayout().extended(added) == added


def test_a_layout_reads_well():
    assert str(HEARING) == "moshi_and_heard (duplex 0 s, tts 0.4 s, heard -0.48 s)"
    assert str(TextLayout()) == "unknown"
