from collections import Counter
from itertools import islice

from moshi_zoo.data.dialogue_pairs import answer_choices, minimal_pairs
from moshi_zoo.data.dialogue_questions import TASKS


def test_a_pair_differs_in_one_word_of_moshis_answer():
    for pair in islice(minimal_pairs(), 300):
        good, bad = pair.good.split(), pair.bad.split()
        assert len(good) == len(bad)
        assert sum(a != b for a, b in zip(good, bad, strict=True)) == 1
        question, _, _ = pair.good.partition("\nmoshi:")
        assert pair.bad.startswith(question)


def test_choices_differ_and_the_right_one_is_anywhere():
    places = Counter()
    for question in islice(answer_choices(), 400):
        assert len(set(question.choices)) == 4
        assert len({len(choice.split()) for choice in question.choices}) == 1
        assert question.context.endswith("\nmoshi:")
        places[question.answer] += 1
    assert min(places.values()) > 60


def test_both_follow_the_seed_and_cover_all_families():
    assert list(islice(minimal_pairs(1), 20)) == list(islice(minimal_pairs(1), 20))
    assert list(islice(minimal_pairs(1), 20)) != list(islice(minimal_pairs(2), 20))
    assert {pair.family for pair in islice(minimal_pairs(), 6)} == set(TASKS)
