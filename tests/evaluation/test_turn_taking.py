"""Turn-taking in hand-made conversations."""

import math

import pytest

from moshi_zoo.data.alignments import OTHER, Word
from moshi_zoo.evaluation.turn_taking import Scene, turn_taking
from tests.evaluation.test_script import moshi, user

ASKED = [user(1, 2), moshi(2.2, 3, "four.", "four"), user(4, 5), moshi(5.2, 6, "five.", "five")]


def measured(turns, spans, *, user_words=None, seconds=8.0):
    """Values by name, and events by name."""
    if user_words is None:
        user_words = [Word(t.text, t.start_s, t.end_s, OTHER) for t in turns if t.speaker == "user" and t.text]
    found = turn_taking(Scene(turns, user_words, spans, seconds))
    values = {measure.name: value.value for measure, value in found.values.items()}
    return values, {measure.name: list(events) for measure, events in found.events.items()}


def test_replies_are_timed_from_the_end_of_the_turn():
    values, events = measured(ASKED, [(2.25, 3.0), (5.5, 6.0)])
    assert values["took_turn"] == 1
    assert events["reply_gap"] == pytest.approx([0.25, 0.5])
    assert values["talk_over"] == 0
    assert values["speaking"] == pytest.approx(1.25 / 8)


def test_a_reply_that_begins_too_early_has_a_gap_below_zero_and_talks_over():
    values, events = measured(ASKED, [(1.6, 3.0), (5.5, 6.0)])
    assert events["reply_gap"] == pytest.approx([-0.4, 0.5])
    assert values["talk_over"] == pytest.approx(0.4 / 2)


def test_no_reply_is_no_take_over():
    values, events = measured(ASKED, [(5.5, 6.0)])
    assert values["took_turn"] == 0.5
    assert events["reply_gap"] == pytest.approx([0.5])


def test_who_is_spoken_to_while_speaking_has_time_to_stop_but_not_for_ever():
    assert measured(ASKED, [(2.2, 4.5)])[0]["talk_over"] == 0
    assert measured(ASKED, [(2.2, 4.9)])[0]["talk_over"] == pytest.approx(0.3 / 2)


def test_the_time_to_stop_is_taken_at_interruptions_only():
    turns = [
        user(0.5, 1, "count."),
        moshi(1.2, 3.2, "one two three"),
        user(3, 3.5, "stop.", "interrupts"),
        moshi(3.7, 4, "okay."),
        user(4.5, 5),
        moshi(5.2, 6, "yes.", "yes"),
    ]
    _, events = measured(turns, [(1.2, 3.3), (3.8, 4.6), (5.2, 6)])
    assert events["stop_time"] == pytest.approx([0.3])


def test_pauses_within_turns_and_between_them_are_to_be_let_pass():
    words = [Word("on", 1.0, 1.3, OTHER), Word("monday", 1.8, 2.4, OTHER), Word("what?", 4, 5, OTHER)]
    turns = [
        user(1, 2.4, "on, monday."),
        moshi(2.4, 2.4, "", ""),
        user(4, 5),
        moshi(5.2, 6, "yes.", "yes"),
    ]
    assert measured(turns, [(5.2, 6)], user_words=words)[0]["pause_taken"] == 0
    assert measured(turns, [(1.5, 1.7), (5.2, 6)], user_words=words)[0]["pause_taken"] == 0.5
    assert measured(turns, [(1.5, 1.7), (3, 3.4), (5.2, 6)], user_words=words)[0]["pause_taken"] == 1
    assert measured(turns, [(5.2, 6)], user_words=words)[0]["waits"] == 1
    assert measured(turns, [(3, 3.4), (5.2, 6)], user_words=words)[0]["waits"] == 0


def test_a_backchannel_where_the_script_has_one_takes_nothing():
    story = [
        user(1, 2, "on monday"),
        moshi(1.9, 2.2, "mhm", overlap="backchannel"),
        user(2.4, 4, "i saw birds"),
        moshi(4.2, 5, "nice."),
    ]
    values, _ = measured(story, [(1.8, 2.2), (4.2, 5)])
    assert (values["backchannels_given"], values["talk_over"], values["pause_taken"]) == (1, 0, 0)
    values, _ = measured(story, [(1.8, 3.2), (4.2, 5)])  # far too long for one
    assert values["backchannels_given"] == 0
    assert values["talk_over"] > 0


def test_moshi_goes_on_after_the_users_backchannel():
    turns = [
        user(0.5, 1, "count."),
        moshi(1.2, 2, "one two"),
        user(2, 2.2, "mhm", "backchannel"),
        moshi(2.1, 3, "three four", "three four"),
    ]
    assert measured(turns, [(1.2, 3.0)])[0]["goes_on"] == 1
    assert measured(turns, [(1.2, 2.1)])[0]["goes_on"] == 0


def test_beside_a_user_who_says_nothing_the_time_in_silence_counts():
    turns = [user(3, 3, ""), moshi(3, 3, "", "")]
    values, _ = measured(turns, [], user_words=[])
    assert (values["silent_alone"], values["waits"]) == (1, 1)
    values, _ = measured(turns, [(1, 3)], user_words=[])
    assert (values["silent_alone"], values["waits"]) == (0.75, 0)
    assert math.isnan(values["took_turn"])
