"""Documents in tokens: kept, mapped, and divided."""

import json
import os
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moshi_zoo.data import text_store
from moshi_zoo.data.text_documents import PlainText
from moshi_zoo.data.text_splits import hold_out
from moshi_zoo.data.text_store import tokenized
from tests.data.texts import hashed, numbered, texts, tokenizer


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("MOSHI_ZOO_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts(30)))
    return path


def _texts(documents):
    spans = zip(documents.starts, documents.lengths, strict=True)
    rows = [documents.tokens[start : start + length].tolist() for start, length in spans]
    assert all((row[0], row[-1]) == (tokenizer().bos, tokenizer().eos) for row in rows)
    return [tokenizer().decode(row) for row in rows]


def test_files_are_tokenised_once(corpus, monkeypatch):
    first = tokenized([corpus], PlainText(), tokenizer(), max_bad_share=0)
    assert _texts(first) == texts(30)
    with monkeypatch.context() as patch:
        patch.setattr(text_store, "_tokenize", lambda *_, **__: pytest.fail("tokenised again"))
        again = tokenized([corpus], PlainText(), tokenizer(), max_bad_share=0)
    assert _texts(again) == texts(30)
    assert (again.hashes == first.hashes).all()
    assert len(set(first.hashes.tolist())) == 30

    corpus.write_text(json.dumps({"text": "new"}))
    os.utime(corpus, (1, 1))
    assert _texts(tokenized([corpus], PlainText(), tokenizer(), max_bad_share=0)) == ["new"]


def test_workers_get_the_name_of_the_file_and_not_its_content(corpus):
    documents = tokenized([corpus], PlainText(), tokenizer(), max_bad_share=0)
    assert _texts(documents) == texts(30)
    sent = pickle.dumps(documents.tokens)
    assert len(sent) < 500
    assert (pickle.loads(sent)[0:9] == documents.tokens[0:9]).all()


def test_bad_lines_are_told_of_every_time_and_too_many_refused(corpus, caplog):
    corpus.write_text(corpus.read_text() + "no json\n")
    for _ in range(2):
        caplog.clear()
        documents = tokenized([corpus], PlainText(), tokenizer(), max_bad_share=0.1)
        assert "1 of 31 lines cannot be used" in caplog.text
        assert "corpus.jsonl:31: is no JSON" in caplog.text
    assert len(documents) == 30
    with pytest.raises(ValueError, match="more than the 1% that max_bad_share allows"):
        tokenized([corpus], PlainText(), tokenizer(), max_bad_share=0.01)


def test_no_text_is_refused_and_leaves_nothing(corpus, tmp_path):
    corpus.write_text("\n")
    with pytest.raises(ValueError, match=r"there is no text in .*corpus\.jsonl"):
        tokenized([corpus], PlainText(), tokenizer(), max_bad_share=0)
    assert not list((tmp_path / "cache").iterdir())


def _spans(documents):
    return {(int(s), int(n)) for s, n in zip(documents.starts, documents.lengths, strict=True)}


@given(
    st.lists(st.tuples(st.integers(2, 40), st.integers(0, 2**64 - 1)), min_size=1, max_size=40),
    st.floats(0.01, 0.5),
)
def test_holding_out_divides_the_tokens(drawn, share):
    lengths, hashes = zip(*drawn, strict=True)
    documents = hashed(numbered(lengths), hashes)
    train, valid = hold_out(documents, share)
    assert len(train) > 0 < len(valid)
    assert train.num_tokens + valid.num_tokens == documents.num_tokens
    covered = [t for s, n in _spans(train) | _spans(valid) for t in range(s, s + n)]
    assert sorted(covered) == list(range(documents.num_tokens))


def test_whole_documents_are_held_out_where_there_are_many():
    rng = np.random.default_rng(0)
    documents = hashed(numbered([20] * 500), rng.integers(0, 2**63, 500))
    train, valid = hold_out(documents, 0.1)
    assert valid.num_tokens == 0.1 * documents.num_tokens
    assert not _spans(train) & _spans(valid)
    order = rng.permutation(500)
    assert _spans(hold_out(documents.select(order), 0.1)[1]) == _spans(valid)  # whatever the order of files
    half = documents.select(np.arange(250))
    both = _spans(hold_out(half, 0.1)[1]) & _spans(valid)
    assert len(both) >= 20  # of 25: more text moves few documents to the other side


def test_equal_documents_are_on_the_same_side():
    documents = hashed(numbered([20] * 100), [i // 10 for i in range(100)])
    train, valid = hold_out(documents, 0.05)
    assert {*train.hashes.tolist()} & {*valid.hashes.tolist()} == set()


def test_the_end_of_the_longest_is_held_out_where_there_are_few():
    train, valid = hold_out(numbered([100, 400]), 0.1)
    assert _spans(train) == {(0, 100), (100, 350)}
    assert _spans(valid) == {(450, 50)}
