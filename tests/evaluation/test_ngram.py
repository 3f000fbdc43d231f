from collections import Counter

import numpy as np
import pytest

from moshi_zoo.evaluation.ngram import NGram, _discounts

V, N = 7, 4


@pytest.fixture(scope="module")
def documents():
    rng = np.random.default_rng(0)
    return [rng.integers(0, V - 1, rng.integers(0, 12)).tolist() for _ in range(20)]  # V - 1 never occurs


@pytest.fixture(scope="module")
def model(documents):
    return NGram(documents, vocab_size=V, order=N)


HISTORIES = ([], [0], [V - 1], [1, 2, 3], [5, V - 1, 1, 2], [0, 1, 2, 3, 4, 5, 0, 1])


def by_the_book(documents, history, symbol):
    """Chen and Goodman's formulas with dictionaries, an n-gram at a time."""
    counts = [Counter() for _ in range(N + 1)]
    for document in documents:
        row = [V] * (N - 1) + document
        counts[N].update(tuple(row[i - N + 1 : i + 1]) for i in range(N - 1, len(row)))
    for n in range(N - 1, 0, -1):
        counts[n].update(gram[1:] for gram in counts[n + 1])

    def probability(before, n):
        if n == 0:
            return 1 / V
        before = before[len(before) - n + 1 :]
        lower = probability(before[1:], n - 1)
        after = {gram[-1]: count for gram, count in counts[n].items() if gram[:-1] == before}
        if not after:
            return lower
        taken = [0.0, *_discounts(np.array(list(counts[n].values())))]
        saved = sum(taken[min(count, 3)] for count in after.values())
        own = after.get(symbol, 0)
        return (own - taken[min(own, 3)] + saved * lower) / sum(after.values())

    return probability((V,) * (N - 1) + tuple(history), N)


@pytest.mark.parametrize("history", HISTORIES, ids=str)
def test_the_probabilities_of_all_symbols_sum_to_one(model, history):
    distribution = model.distribution(history)
    assert distribution.sum() == pytest.approx(1, abs=1e-12)
    assert distribution.min() > 0


@pytest.mark.parametrize("history", HISTORIES, ids=str)
def test_probabilities_are_those_of_the_formulas(model, documents, history):
    expected = [by_the_book(documents, history, symbol) for symbol in range(V)]
    assert model.distribution(history) == pytest.approx(expected, rel=1e-9)


def test_a_document_costs_what_its_symbols_cost_one_by_one(model):
    document = [0, 3, 3, V - 1, 5, 1, 2, 0]
    expected = [model.distribution(document[:i])[symbol] for i, symbol in enumerate(document)]
    assert 2 ** model.log2_probabilities(document) == pytest.approx(expected)
    assert len(model.log2_probabilities([])) == 0


def test_more_context_predicts_text_with_structure_better():
    text = [list(b"the cat sat on the mat and the dog sat on the log ") * 4]
    bits = [-NGram(text, vocab_size=256, order=n).log2_probabilities(text[0][:80]).mean() for n in (1, 2, 5)]
    assert bits[0] > bits[1] > bits[2]
    assert bits[2] < 0.5


def test_documents_do_not_run_into_each_other():
    apart, joined = NGram([[0, 1], [2, 3]], vocab_size=5, order=2), NGram([[0, 1, 2, 3]], vocab_size=5, order=2)
    assert apart.distribution([1])[2] == pytest.approx(apart.distribution([])[0] * 0 + apart.distribution([3])[2])
    assert joined.distribution([1])[2] > apart.distribution([1])[2]


def test_discounts_follow_the_counts_of_counts_and_stay_possible():
    counts = np.repeat([1, 2, 3, 4], [100, 40, 20, 10])
    share = 100 / 180
    assert _discounts(counts) == pytest.approx([1 - 2 * share * 0.4, 2 - 3 * share * 0.5, 3 - 4 * share * 0.5])
    assert _discounts(np.array([5, 5, 9])) == [0.5, 1.0, 1.5]
    assert all(0 < d <= k for k, d in enumerate(_discounts(np.repeat([1, 2, 3, 4], [1, 9, 30, 200])), start=1))


def test_nothing_to_learn_from_is_refused():
    for nothing in ([], [[]]):
        with pytest.raises(ValueError, match="no text"):
            NGram(nothing, vocab_size=3)
    with pytest.raises(ValueError, match="order 0"):
        NGram([[1]], vocab_size=3, order=0)
