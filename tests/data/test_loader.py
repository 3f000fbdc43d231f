from collections import Counter

import pytest
import torch
from torch.utils.data import Dataset

from moshi_zoo.data.loader import EvaluationLoader, Process, TrainLoader


class Echo(Dataset):
    """Returns what it is asked for."""

    def __getitem__(self, index):
        return index


def _same(batch):
    return batch


def _train(num_items=20, batch_size=3, **kwargs):
    return TrainLoader(Echo(), num_items=num_items, batch_size=batch_size, collate=list, finish=_same, **kwargs)


def _evaluate(num_items, batch_size, **kwargs):
    return EvaluationLoader(Echo(), num_items=num_items, batch_size=batch_size, collate=list, finish=_same, **kwargs)


def _take(iterator, count):
    return [next(iterator) for _ in range(count)]


def test_every_item_comes_exactly_once_in_each_epoch_in_a_new_order():
    loader = _train()
    assert len(loader) == 6  # batches of 3, of 20 items: two are left, and begin the next pass
    items = [item for _ in range(4) for batch in loader for item in batch][:60]
    epochs = [items[:20], items[20:40], items[40:]]
    for number, epoch in enumerate(epochs):
        assert sorted(epoch) == [(number, index) for index in range(20)]
    assert [i for _, i in epochs[0]] != [i for _, i in epochs[1]] != sorted(i for _, i in epochs[1])
    assert items[:18] == [item for batch in _train() for item in batch]
    assert items[:18] != [item for batch in _train(seed=1) for item in batch]


def test_workers_change_neither_the_batches_nor_the_position():
    alone, helped = _train(), _train(num_workers=2)
    for _ in range(2):
        for mine, its in zip(alone, helped, strict=True):
            assert mine == its
            assert alone.state_dict() == helped.state_dict()


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("stop", [0, 1, 5, 6, 8, 13])
def test_a_restored_loader_goes_on_with_the_very_next_batch(stop, num_workers):
    straight = _train()
    expected = [batch for _ in range(4) for batch in straight]

    first = _train(num_workers=num_workers)
    seen = []
    while len(seen) < stop:
        seen += _take(iter(first), min(stop - len(seen), len(first)))
    second = _train(num_workers=num_workers)
    second.load_state_dict(first.state_dict())
    seen += list(second)
    assert seen == expected[: len(seen)]


def test_shortened_passes_waste_no_data():
    loader, expected = _train(), list(_train())
    passes = [_take(iter(loader), 2) for _ in range(3)]  # as limit_train_batches does
    assert [batch for part in passes for batch in part] == expected


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_each_global_batch(world_size):
    whole = list(_train(24, batch_size=2 * world_size))
    shards = [list(_train(24, batch_size=2, process=Process(rank, world_size))) for rank in range(world_size)]
    assert [[item for part in parts for item in part] for parts in zip(*shards, strict=True)] == whole
    assert Counter(i for shard in shards for batch in shard for _, i in batch) == Counter(range(24))


def test_a_run_may_go_on_with_another_number_of_processes():
    alone = _train(24, batch_size=4)
    seen = _take(iter(alone), 2)
    pair = [_train(24, batch_size=4, process=Process(rank, 2)) for rank in range(2)]
    for loader in pair:
        loader.load_state_dict(alone.state_dict())
    rest = [batch for loader in pair for batch in _take(iter(loader), 2)]
    assert Counter(i for batch in seen + rest for _, i in batch) == Counter(range(24))


def test_changed_data_begin_a_new_epoch(caplog):
    old = _train(20)
    _take(iter(old), 3)
    new = _train(30)
    new.load_state_dict(old.state_dict())
    assert "the data has changed" in caplog.text
    assert {epoch for batch in new for epoch, _ in batch} == {1}


def test_the_position_is_that_of_the_batches_handed_over():
    loader = _train(num_workers=1)
    _take(iter(loader), 2)  # the worker has fetched more
    assert loader.state_dict() == {"epoch": 0, "consumed": 6, "num_items": 20}


def test_loading_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    list(_train())
    list(_evaluate(4, 2))
    assert torch.equal(torch.get_rng_state(), before)


def test_an_epoch_without_a_batch_for_everyone_is_refused():
    with pytest.raises(ValueError, match="5 items, but one step of 3 processes with batch size 2 takes 6"):
        _train(5, batch_size=2, process=Process(0, 3))


def test_evaluation_sees_each_item_once_in_order():
    loader = _evaluate(7, 3)
    assert list(loader) == [[0, 1, 2], [3, 4, 5], [6]]
    assert len(loader) == 3
    assert list(loader) == list(_evaluate(7, 3, num_workers=1))


@pytest.mark.parametrize("num_items", [1, 4, 7, 8, 9])
def test_evaluation_on_several_processes_is_complete_and_in_step(num_items):
    shards = [list(_evaluate(num_items, 2, process=Process(rank, 2))) for rank in range(2)]
    assert [len(batch) for batch in shards[0]] == [len(batch) for batch in shards[1]]
    assert len(shards[0]) == len(_evaluate(num_items, 2, process=Process(0, 2)))
    seen = Counter(i for shard in shards for batch in shard for i in batch)
    assert set(seen) == set(range(num_items))
    assert seen.total() <= num_items + 1
