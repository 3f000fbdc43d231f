import random
import re
from itertools import islice

import pytest

from moshi_zoo.data.dialogue import is_right, normalise_answer
from moshi_zoo.data.dialogue_questions import NUMBERS, TASKS
from moshi_zoo.data.dialogue_tasks import DIGITS, split_of_digits
from moshi_zoo.data.dialogues import FAMILIES, dialogue, dialogues

COUNT = 1500


@pytest.fixture(scope="module")
def some():
    return {split: list(islice(dialogues(0, split), COUNT)) for split in ("train", "valid", "test")}


def groups_of_digits(text):
    """All threes of neighbouring digits in a line."""
    for line in text.splitlines():
        words = normalise_answer(line).split()
        for i in range(len(words) - 2):
            if set(group := words[i : i + 3]) <= set(DIGITS):
                yield [DIGITS.index(word) for word in group]


def test_dialogues_follow_the_seed_and_can_start_anywhere(some):
    assert list(islice(dialogues(0, "train"), 50)) == some["train"][:50]
    assert list(islice(dialogues(0, "train", start=40), 10)) == some["train"][40:50]
    assert dialogue(0, "train", 7) == some["train"][7]
    assert next(dialogues(1, "train")) != some["train"][0]


def test_dialogues_are_fresh_and_of_all_families(some):
    texts = {d.text for d in some["train"]}
    assert len(texts) > 0.95 * COUNT
    for family in FAMILIES:
        assert sum(d.family == family for d in some["train"]) > COUNT / len(FAMILIES) / 2
    assert {d.family for d in islice(dialogues(families=["sums", "echo"]), 20)} == {"sums", "echo"}


def test_an_unknown_family_is_refused():
    with pytest.raises(ValueError, match="sums"):
        dialogues(families=["summs"])


def test_every_scripted_reply_is_right_by_its_own_rule(some):
    checked = [turn for split in some.values() for d in split for turn in d.turns if turn.expected is not None]
    assert len(checked) > COUNT
    assert not [turn for turn in checked if turn.speaker != "moshi" or not is_right(turn.text, turn.expected)]


def test_the_words_are_few_in_lower_case_and_spoken(some):
    text = "\n".join(d.text for split in some.values() for d in split)
    assert re.fullmatch(r"[a-z .,?:\n]+", text)
    assert len(set(normalise_answer(text).split())) < 500


def test_no_held_out_row_of_digits_occurs_in_training(some):
    owners = {split: {split_of_digits(g) for d in ds for g in groups_of_digits(d.text)} for split, ds in some.items()}
    assert owners == {"train": {"train"}, "valid": {"train", "valid"}, "test": {"train", "test"}}


def test_no_held_out_exercise_occurs_in_training(some):
    """Nor one in two held-out splits; openings such as *please* do not make another question."""

    def asked(split):
        found = set()
        for d in some[split]:
            if d.family in TASKS:
                turns = zip(d.turns, d.turns[1:], strict=False)
                lines = [t.text for t, reply in turns if t.speaker == "user" and reply.expected is not None]
                found |= {re.sub(r"^(so|okay|moshi|and|now|please|can|could|you|,| )+ ", "", x)[:-1] for x in lines}
        return found

    train, valid, test = asked("train"), asked("valid"), asked("test")
    assert min(map(len, (train, valid, test))) > 100
    assert not train & valid
    assert not train & test
    assert not valid & test


def test_interruptions_break_moshis_turn_and_backchannels_do_not(some):
    kinds = set()
    for d in some["train"]:
        for before, turn, after in zip(d.turns, d.turns[1:], d.turns[2:], strict=False):
            kinds.add(turn.overlap)
            if turn.overlap == "interrupts":
                assert (before.speaker, turn.speaker, after.speaker) == ("moshi", "user", "moshi")
                assert before.text[-1].isalpha(), "what is broken off has no full stop"
            elif turn.overlap == "backchannel":
                assert before.speaker == after.speaker != turn.speaker
    assert kinds == {"none", "interrupts", "backchannel"}


def test_in_silence_moshi_waits(some):
    silences = [d for d in some["train"] if d.family == "silence"]
    assert all(any(turn.pause_s >= 1.5 for turn in d.turns) for d in silences)
    assert any(turn.expected == "" and turn.text == "" for d in silences for turn in d.turns)


def test_sums_counting_and_the_calendar_are_computed_right():
    by_name = {task.name: task for tasks in TASKS.values() for task in tasks}
    rng = random.Random(0)
    for _ in range(200):
        slots = by_name["sum"].draw(rng)
        assert value(slots["a"]) + value(slots["b"]) == value(slots["answer"])
        slots = by_name["difference"].draw(rng)
        assert value(slots["a"]) - value(slots["b"]) == value(slots["answer"])
        slots = by_name["counting back"].draw(rng)
        assert [value(w) for w in slots["answer"].split()] == [value(slots["number"]) - i for i in (1, 2, 3)]
        slots = by_name["from and to"].draw(rng)
        assert slots["answer"].split()[0] == slots["first"]
        assert slots["answer"].split()[-1] == slots["last"]
    months = {s["it"]: s["answer"] for s in (by_name["month after"].draw(rng) for _ in range(200))}
    assert months["december"] == "january"
    days = {s["it"]: s["answer"] for s in (by_name["day before"].draw(rng) for _ in range(200))}
    assert days["monday"] == "sunday"


def value(word):
    return NUMBERS.index(word)
