"""What is asked in a written dialogue, and until when it may be answered."""

from moshi_zoo.evaluation.script import TimedTurn, questions


def user(start_s, end_s, text="what?", overlap="none"):
    return TimedTurn("user", text, overlap, None, start_s, end_s)


def moshi(start_s, end_s, text, expected=None, overlap="none"):
    return TimedTurn("moshi", text, overlap, expected, start_s, end_s)


def test_an_answer_counts_until_the_user_has_finished_the_next_question():
    turns = [user(1, 2), moshi(2.2, 3, "four.", "four"), user(2.9, 4), moshi(4.2, 5, "five.", "five")]
    first, second = questions(turns, 9.0)
    assert (first.expected, first.asked_s, first.end_s) == ("four", 2, 4)
    assert 1.5 < first.start_s < 2
    assert (second.expected, second.asked_s, second.end_s) == ("five", 4, 9.0)


def test_a_users_backchannel_divides_no_answer():
    turns = [
        user(1, 2, "count to five."),
        moshi(2.2, 3, "one two"),
        user(3.1, 3.3, "mhm", "backchannel"),
        moshi(3.2, 4, "three four five.", "three four five."),
    ]
    (question,) = questions(turns, 6.0)
    assert question.expected == "one two three four five."
    assert question.asked_s == 2


def test_silence_is_expected_of_a_user_who_says_nothing():
    turns = [user(3, 3, ""), moshi(3, 3, "", "")]
    (question,) = questions(turns, 6.0)
    assert (question.expected, question.start_s, question.end_s) == ("", 0.0, 6.0)


def test_what_has_no_right_answer_is_no_question():
    assert questions([user(1, 2), moshi(2.2, 3, "hello.")], 4.0) == []
