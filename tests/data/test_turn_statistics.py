import pytest

from moshi_zoo.data.turn_statistics import TurnStatistics, turn_statistics


def measured(moshi, user):
    s = turn_statistics(moshi, user)
    return {name: pytest.approx(value) for name, value in vars(s).items()}


def statistics(**values):
    return vars(TurnStatistics(**values))


def test_a_change_of_speaker_has_a_gap_and_one_speaker_pauses():
    expected = statistics(seconds=6, ipu=4.0, pause=0.5, gap=1.5)
    assert measured([(1, 2), (2.5, 4)], [(5.5, 7)]) == expected


def test_words_close_together_are_one_unit():
    assert measured([(1.5, 2), (1, 1.4)], []) == statistics(seconds=1, ipu=1.0)


def test_talking_at_once_is_overlap_and_leaves_no_gap():
    assert measured([(0, 2)], [(1.5, 3)]) == statistics(seconds=3, ipu=3.5, overlap=0.5)


def test_a_backchannel_inside_a_turn_takes_no_turn():
    expected = statistics(seconds=5, ipu=4.9, pause=0.5, overlap=0.4)
    assert measured([(0, 3), (3.5, 5)], [(1, 1.4)]) == expected


def test_silence_around_is_left_out_and_nothing_gives_nothing():
    assert measured([(10, 11)], []) == statistics(seconds=1, ipu=1)
    assert measured([], []) == statistics()


def test_dialogues_add_up_to_seconds_a_minute():
    total = TurnStatistics(seconds=30, ipu=20, gap=2) + TurnStatistics(seconds=90, ipu=60, overlap=4)
    assert total.per_minute() == {"ipu": 40, "pause": 0, "gap": 1, "overlap": 2}
