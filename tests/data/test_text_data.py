"""The data module of text."""

import json
from itertools import islice

import pytest
import torch

from moshi_zoo.data import text_source
from moshi_zoo.data.text_data import TextData
from moshi_zoo.tokenizer import Tokenizer
from tests.data.texts import texts, tokenizer


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOSHI_ZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts(300)))
    return str(path)


def _make(source, **kwargs):
    return TextData(source, **{"vocab_size": 420, "seq_len": 32, "batch_size": 4, **kwargs})


def _documents(batches, pieces):
    """Texts that lie in the batches from beginning to end."""
    for batch in batches:
        for tokens, document in zip(batch["tokens"], batch["document"], strict=True):
            for number in document.unique():
                mine = tokens[document == number].tolist()
                if mine[0] == pieces.bos and mine[-1] == pieces.eos:
                    yield pieces.decode(mine)


def test_nobody_validates_on_what_was_trained_on(corpus):
    data = _make(corpus, seq_len=200, validation_share=0.2)
    train, valid = data.train_dataloader(), data.val_dataloader()
    assert data.tokenizer is not None
    learned = set(_documents([batch for _ in range(3) for batch in train], data.tokenizer))
    held_out = set(_documents(valid, data.tokenizer))
    assert learned | held_out <= set(texts(300))
    assert not learned & held_out
    assert len(learned) > 200
    assert 20 < len(held_out) < 80  # and those that lie across rows
    again = _make(corpus, seq_len=200, validation_share=0.2, seed=5)
    assert set(_documents(again.val_dataloader(), data.tokenizer)) == held_out


def test_files_to_validate_on_do_not_train(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": f"{name} {t}"}) + "\n" for t in texts(60)))
    data = _make(str(tmp_path), valid_source=str(tmp_path / "b.jsonl"), seq_len=150)
    train, valid = data.train_dataloader(), data.val_dataloader()
    assert data.tokenizer is not None
    assert {text[0] for text in _documents(train, data.tokenizer)} == {"a"}
    assert {text[0] for text in _documents(valid, data.tokenizer)} == {"b"}
    with pytest.raises(ValueError, match="nothing to train on: all its files are in valid_source"):
        _make(str(tmp_path / "b.jsonl"), valid_source=str(tmp_path), tokenizer=_saved(tmp_path)).setup()


def _saved(folder):
    tokenizer().save(folder / "tokenizer.model")
    return str(folder)


def test_the_tokenizer_is_trained_once_and_again_when_the_text_changes(corpus, monkeypatch, tmp_path):
    first = _make(corpus)
    first.setup()
    with monkeypatch.context() as patch:
        patch.setattr(text_source.Tokenizer, "train", lambda *_, **__: pytest.fail("trained again"))
        again = _make(corpus)
        again.setup()
    assert again.tokenizer.sha256 == first.tokenizer.sha256
    assert first.tokenizer.vocab_size == 420
    with (tmp_path / "corpus.jsonl").open("a") as file:
        file.write(json.dumps({"text": "aardvark zebra quagga " * 30}))
    changed = _make(corpus)
    changed.setup()
    assert changed.tokenizer.sha256 != first.tokenizer.sha256
    changed.load_state_dict(changed.state_dict())
    with pytest.raises(ValueError, match=r"another tokenizer .* --data\.tokenizer runs/NAME/zoo"):
        changed.load_state_dict(first.state_dict())


def test_a_tokenizer_that_is_too_large_for_the_net_is_refused(corpus, tmp_path):
    path = _saved(tmp_path)
    _make(corpus, tokenizer=path).setup()
    with pytest.raises(
        ValueError, match=r"has 400 pieces, but the net knows only 300: set --model\.net\.vocab_size 400"
    ):
        _make(corpus, tokenizer=path, vocab_size=300).setup()


@pytest.mark.parametrize("source", ["dialogues", "corpus", "both"])
def test_resumed_equals_uninterrupted(source, corpus):
    chosen = {"dialogues": "dialogues", "corpus": corpus, "both": {corpus: 1.0, "dialogues": 0.3}}[source]
    straight = iter(_make(chosen).train_dataloader())
    expected = [next(straight) for _ in range(6)]
    first = _make(chosen).train_dataloader()
    begun = iter(first)
    for _ in range(3):
        next(begun)
    second = _make(chosen, num_workers=1).train_dataloader()
    second.load_state_dict(first.state_dict())
    for batch, (_, again) in zip(expected[3:], zip(range(3), second, strict=False), strict=True):
        assert all(torch.equal(batch[name], again[name]) for name in ("tokens", "loss_mask", "document"))


def test_dialogues_about_some_things_are_about_nothing_else():
    data = _make({"dialogues:calendar": 1.0}, vocab_size=1000, validation_rows=20, seq_len=100)
    data.setup()
    for loader in (data.train_dataloader(), data.val_dataloader()):
        found = list(_documents(islice(iter(loader), 8), data.tokenizer))
        assert len(found) > 5
        asked = [text for text in found if " day" in text or " month" in text or "after" in text or "before" in text]
        assert len(asked) == len(found)
        assert not any("opposite" in text or "plus" in text for text in found)


def test_dialogues_about_what_there_is_not_are_refused():
    with pytest.raises(ValueError, match=r"'eco'.*echo"):
        _make("dialogues:calendar,eco").setup()


def test_dialogues_are_new_every_epoch_and_validation_is_not():
    data = _make("dialogues", vocab_size=1000, validation_rows=20, seq_len=100)
    train = data.train_dataloader()
    assert data.tokenizer is not None
    assert data.tokenizer.vocab_size <= 1000  # as many as there are: the dialogues have few words
    rows = [train._batches.dataset[epoch, 0].tokens.tolist() for epoch in range(3)]
    assert len({tuple(row) for row in rows}) == 3
    assert all(row[0] == data.tokenizer.bos for row in rows)
    first, again = ([batch["tokens"] for batch in data.val_dataloader()] for _ in range(2))
    assert sum(len(tokens) for tokens in first) == 20
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_batches_have_the_agreed_form(corpus):
    batch = next(iter(_make(corpus).train_dataloader()))
    assert {name: (tuple(x.shape), x.dtype) for name, x in batch.items()} == {
        "tokens": ((4, 33), torch.int64),
        "loss_mask": ((4, 32), torch.bool),
        "document": ((4, 33), torch.int64),
    }


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"seq_len": 0}, "seq_len is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"validation_share": 0.0}, "validation_share is 0.0"),
        ({"source": {}}, "source is {}; it must name a source"),
        ({"source": {"a.txt": 0.0}}, "positive weights"),
        ({"valid_source": {"a.txt": -1.0}}, "valid_source is"),
    ],
)
def test_wrong_settings_are_refused(arguments, problem):
    with pytest.raises(ValueError, match=problem):
        _make(**{"source": "dialogues", **arguments})


def test_a_tokenizer_trained_on_files_is_a_zoo_tokenizer(corpus, tmp_path):
    data = _make(corpus)
    data.setup()
    assert isinstance(data.tokenizer, Tokenizer)
    assert len(data.tokenizer.control) == 420 // 64
