"""Which dialogues train, and which do not."""

import pytest

from moshi_zoo.data.code_store import CodeStore
from moshi_zoo.data.dialogue_splits import divide
from tests.data.stores import make_store

LENGTHS = {f"talk/{i}.wav": 10 + i for i in range(20)}


def divided(folder, **stores):
    opened = {name: CodeStore(make_store(folder / name, LENGTHS, splits=splits)) for name, splits in stores.items()}
    return divide(opened, valid_store=None, validation_share=0.1)


def paths(places):
    return {place.store.entries[place.number].path for place in places}


def test_a_dialogue_in_two_stores_is_held_out_of_both(tmp_path):
    splits = divided(tmp_path, one=None, two=None)
    assert len(splits.valid) == 4
    assert len(paths(splits.valid)) == 2
    assert all(paths(splits.valid).isdisjoint(paths(train)) for train in splits.train)
    assert [len(train) for train in splits.train] == [18, 18]


def test_marks_hold_and_test_validates_where_nothing_else_does(tmp_path):
    splits = divided(tmp_path, one={"talk/3.wav": "test"})
    assert paths(splits.valid) == paths(splits.test) == {"talk/3.wav"}
    assert len(splits.train[0]) == 19


def test_a_store_to_validate_on_takes_its_marks_or_all_of_it(tmp_path):
    train = CodeStore(make_store(tmp_path / "train", LENGTHS))
    unmarked = CodeStore(make_store(tmp_path / "unmarked", {"a": 5, "b": 5}))
    marked = CodeStore(make_store(tmp_path / "marked", {"a": 5, "b": 5}, splits={"a": "valid"}))
    for store, expected in ((unmarked, {"a", "b"}), (marked, {"a"})):
        splits = divide({"train": train}, valid_store=store, validation_share=0.1)
        assert paths(splits.valid) == expected
        assert len(splits.train[0]) == 20


def test_an_empty_store_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"one has no dialogues"):
        divide({"one": CodeStore(make_store(tmp_path, {}))}, valid_store=None, validation_share=0.1)
