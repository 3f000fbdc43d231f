"""Packing: every token once, no prediction across documents."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moshi_zoo.data.loader import Process, TrainLoader
from moshi_zoo.data.text_documents import Encoded
from moshi_zoo.data.text_mixture import Mixture, SomeRows
from moshi_zoo.data.text_rows import EndlessRows, InOrderRows, StreamRows, WholeRows, best_fit, collate
from moshi_zoo.data.text_store import Documents
from tests.data.texts import numbered

PAD = 10**6
lengths = st.lists(st.integers(1, 30), min_size=1, max_size=12)


def _every_token(documents):
    return Counter(int(t) for s, n in zip(documents.starts, documents.lengths, strict=True) for t in range(s, s + n))


def _check(row, seq_len):
    """What holds for all rows: sizes, and that a token counts if and only if it follows its predecessor."""
    assert row.tokens.shape == row.document.shape == (seq_len + 1,)
    assert row.loss_mask.shape == (seq_len,)
    assert (np.diff(row.document) >= 0).all()
    assert not (row.loss_mask & (np.diff(row.document) != 0)).any()


@given(lengths, st.integers(1, 20))
def test_a_pass_of_the_stream_has_every_token_once(lengths, seq_len):
    documents = numbered(lengths)
    rows = StreamRows(documents, seq_len=seq_len, seed=5)
    stream: list[int] = []
    for index in range(3 * documents.num_tokens // seq_len + 1):
        row = rows.row(index)
        _check(row, seq_len)
        inside = np.diff(row.document) == 0
        assert (row.loss_mask == inside).all()
        assert (np.diff(row.tokens)[inside] == 1).all()  # neighbours in a row are neighbours in their document
        assert not stream or stream.pop() == row.tokens[0]  # rows overlap by one
        stream += row.tokens.tolist()
    passes = [tuple(stream[i * documents.num_tokens : (i + 1) * documents.num_tokens]) for i in range(3)]
    whole = Counter(1000 * i + j for i, n in enumerate(lengths) for j in range(n))
    assert all(Counter(one) == whole for one in passes)


def test_each_pass_has_another_order_that_depends_on_the_seed():
    documents = numbered([10] * 20)
    orders = {
        (seed, number): tuple(StreamRows(documents, seq_len=200, seed=seed).row(number).tokens[:200:10] // 1000)
        for seed in range(2)
        for number in range(3)
    }
    assert len(set(orders.values())) == 6
    assert all(set(order) == set(range(20)) for order in orders.values())


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_epoch_has_every_token_once_over_processes_and_workers(world_size, num_workers):
    lengths = [7, 31, 2, 18, 64, 9, 5, 40, 28]  # 204 tokens
    data = Mixture([StreamRows(numbered(lengths), seq_len=12, seed=1)])  # 17 rows an epoch
    assert len(data) == 17
    batches = []
    for rank in range(world_size):
        loader = TrainLoader(
            data,
            num_items=len(data),
            batch_size=2,
            collate=collate,
            finish=lambda batch: batch,
            process=Process(rank, world_size),
            num_workers=num_workers,
        )
        passes = [batch for _ in range(20) for batch in loader]
        batches.append(passes)
    in_turn = [batch for together in zip(*batches, strict=True) for batch in together]
    rows, masks = (np.concatenate([batch[name].numpy() for batch in in_turn]) for name in ("tokens", "loss_mask"))
    everything = Counter(1000 * i + j for i, n in enumerate(lengths) for j in range(n))
    for epoch in range(3):
        mine = slice(17 * epoch, 17 * (epoch + 1))
        assert Counter(rows[mine, :-1].ravel().tolist()) == everything
        predicted = Counter(rows[mine, 1:][masks[mine]].tolist())
        assert predicted == Counter({token: 1 for token in everything if token % 1000})  # all but the first of each


@pytest.mark.parametrize("stop", [1, 4, 9, 17])
def test_resumed_equals_uninterrupted(stop):
    def loader():
        sources = [
            StreamRows(numbered([7, 31, 2, 18]), seq_len=5, seed=1),
            StreamRows(numbered([9, 9]), seq_len=5, seed=2),
        ]
        data = Mixture(sources, [1.0, 3.0])
        return TrainLoader(
            data, num_items=len(data), batch_size=2, collate=collate, finish=lambda batch: batch["tokens"].tolist()
        )

    straight = loader()
    expected = [batch for _ in range(5) for batch in straight]
    first, seen = loader(), []
    while len(seen) < stop:
        for batch in first:
            seen.append(batch)
            if len(seen) == stop:
                break
    second = loader()
    second.load_state_dict(first.state_dict())
    seen += list(second)
    assert seen == expected[: len(seen)]


@given(lengths, st.integers(1, 20))
def test_rows_in_order_have_every_token_once_and_padding_at_the_end(lengths, seq_len):
    documents = numbered(lengths)
    rows = InOrderRows(documents, seq_len=seq_len, pad=PAD)
    seen = [int(rows.row(0).tokens[0])]
    for index in range(rows.num_rows):
        row = rows.row(index)
        _check(row, seq_len)
        real = row.tokens[1:] != PAD
        assert not row.loss_mask[~real].any()
        assert real.all() or index == rows.num_rows - 1
        seen += row.tokens[1:][real].tolist()
    assert seen == [1000 * i + j for i, n in enumerate(lengths) for j in range(n)]


@given(lengths, st.integers(1, 20))
def test_whole_documents_are_cut_by_the_end_of_a_row_only(lengths, seq_len):
    documents = numbered(lengths)
    rows = WholeRows(documents, seq_len=seq_len, pad=PAD)
    seen = []
    for index in range(rows.num_rows):
        row = rows.row(index)
        _check(row, seq_len)
        for number in range(row.document.max() + 1):
            tokens = row.tokens[row.document == number].tolist()
            if tokens and tokens[0] != PAD:
                assert tokens[0] % 1000 == 0  # from its beginning
                seen.append((tokens[0] // 1000, len(tokens)))
    assert sorted(seen) == [(i, min(n, seq_len + 1)) for i, n in enumerate(lengths)]
    assert rows.num_cut == sum(n > seq_len + 1 for n in lengths)


@given(st.lists(st.integers(1, 50), max_size=60))
def test_best_fit_overfills_no_box_and_wastes_little(sizes):
    boxes = best_fit(np.array(sizes, int), 50)
    assert sorted(i for box in boxes for i in box) == list(range(len(sizes)))
    fills = [sum(sizes[i] for i in box) for box in boxes]
    assert all(fill <= 50 for fill in fills)
    assert sum(2 * fill <= 50 for fill in fills) <= 1  # else two of them would go into one


def test_only_what_counts_in_a_document_counts_in_its_row():
    documents = Documents.from_encoded(
        [Encoded([10, 11, 12, 13], [False, False, True, True]), Encoded([20, 21, 22], [True, False, True])]
    )
    row = WholeRows(documents, seq_len=7, pad=PAD).row(0)
    assert row.tokens.tolist() == [10, 11, 12, 13, 20, 21, 22, PAD]
    assert row.document.tolist() == [0, 0, 0, 0, 1, 1, 1, 2]
    assert row.loss_mask.tolist() == [False, True, True, False, False, True, False]


def test_endless_rows_are_new_every_time_and_the_same_for_a_number():
    def write(row):
        return (Encoded([1, 100 * row + i, 2]) for i in range(1000))

    cut = EndlessRows(write, seq_len=7, num_rows=4)
    assert cut.row(3).tokens.tolist() == cut.row(3).tokens.tolist() == [1, 300, 2, 1, 301, 2, 1, 302]
    whole = EndlessRows(write, seq_len=7, num_rows=4, pad=PAD)
    assert whole.row(0).tokens.tolist() == [1, 0, 2, 1, 1, 2, PAD, PAD]
    assert EndlessRows(write, seq_len=1, num_rows=4, pad=PAD).row(0).tokens.tolist() == [1, 0]


def test_sources_have_their_shares_of_every_epoch():
    large, small = numbered([50] * 8), Documents.from_encoded([Encoded([10**6] * 20), Encoded([10**6] * 20)])
    data = Mixture([StreamRows(large, seq_len=10, seed=0), StreamRows(small, seq_len=10, seed=0)], [1.0, 1.0])
    assert len(data) == 44
    for epoch in range(4):
        rows = [data[epoch, i].tokens[1:] for i in range(len(data))]
        assert sum((row >= 10**6).all() for row in rows) == 22
    first_two = [data[epoch, i].tokens[:-1] for epoch in range(2) for i in range(22)]
    assert len(set(np.concatenate(first_two).tolist())) == 400  # half of it an epoch: in two, everything


def test_a_small_corpus_comes_round_several_times_in_an_epoch():
    data = Mixture([StreamRows(numbered([5, 5]), seq_len=10, seed=0)], at_least=6)
    assert len(data) == 6
    assert all(sorted(data[0, i].tokens[:10]) == [*range(5), *range(1000, 1005)] for i in range(6))


def test_validation_rows_are_spread_over_all_sources():
    sources = [InOrderRows(numbered([101]), seq_len=10, pad=PAD), InOrderRows(numbered([201]), seq_len=10, pad=PAD)]
    rows = SomeRows(sources, 6)
    assert [int(rows[i].tokens[0]) for i in range(len(rows))] == [0, 50, 0, 50, 100, 150]
    assert len(SomeRows(sources, 100)) == 30
