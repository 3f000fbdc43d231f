"""Stores of codes: what goes in comes out; what does not belong together is refused."""

import json
import pickle
from dataclasses import replace

import pytest
import torch

from moshi_zoo.data.code_store import CodeStore, CodeStoreWriter, Entry
from tests.data.stores import CODEC, WORDS, make_store


def test_windows_of_codes_and_words_come_back(tmp_path):
    store = CodeStore(make_store(tmp_path / "store", {"a.wav": 40, "b.wav": 7}))
    assert store.codec == CODEC
    assert store.entries == [Entry("a.wav", 0, 2, 40, None, 3), Entry("b.wav", 0, 2, 7, None, 3)]
    window = store.codes(0, 10, 25)
    assert window.dtype == torch.int64
    assert window.shape == (2, 4, 15)
    assert window[0, 0].tolist() == list(range(10, 25))
    assert torch.equal(store.codes(0)[:, :, 10:25], window)
    assert store.codes(1, 0, 100).shape == (2, 4, 7)
    assert store.words(1) == WORDS


def test_unknown_words_are_not_no_words(tmp_path):
    assert CodeStore(make_store(tmp_path / "unknown", {"a.wav": 5}, words=None)).words(0) is None
    assert CodeStore(make_store(tmp_path / "none", {"a.wav": 5}, words=[])).words(0) == []


def test_shards_are_added_and_a_torn_one_is_not_there(tmp_path):
    make_store(tmp_path, {"a.wav": 5})
    make_store(tmp_path, {"b.wav": 6})
    assert [(entry.path, entry.shard) for entry in CodeStore(tmp_path).entries] == [("a.wav", 0), ("b.wav", 1)]
    (tmp_path / "shard-00001.jsonl").unlink()  # the last thing that is written
    assert set(CodeStoreWriter(tmp_path, CODEC).known) == {"a.wav"}
    make_store(tmp_path, {"c.wav": 7})
    store = CodeStore(tmp_path)
    assert [entry.path for entry in store.entries] == ["a.wav", "c.wav"]
    assert store.codes(1).shape[-1] == 7


def test_a_store_travels_to_workers_without_its_open_files(tmp_path):
    store = CodeStore(make_store(tmp_path, {"a.wav": 5}))
    store.codes(0)
    assert torch.equal(pickle.loads(pickle.dumps(store)).codes(0), store.codes(0))


def test_codes_of_another_codec_are_refused(tmp_path):
    make_store(tmp_path, {"a.wav": 5})
    with pytest.raises(ValueError, match=r"another codec: tiny \(aaaaaaaaaaaa\), not new \(bbbb"):
        CodeStoreWriter(tmp_path, replace(CODEC, name="new", sha256="b" * 64))
    with pytest.raises(ValueError, match="holds 4 codebooks, not 2"):
        CodeStoreWriter(tmp_path, replace(CODEC, num_codebooks=2))
    CodeStoreWriter(tmp_path, replace(CODEC, name="the same under another name"))


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ValueError, match="no store of codes, and not empty"):
        CodeStoreWriter(tmp_path, CODEC)
    with pytest.raises(ValueError, match="data encode"):
        CodeStore(tmp_path)


def test_damage_is_named(tmp_path):
    make_store(tmp_path, {"a.wav": 5})
    about = tmp_path / "store.json"
    whole = about.read_text()
    about.write_text(json.dumps({**json.loads(whole), "version": 99}))
    with pytest.raises(ValueError, match=r"store\.json.*version is 99"):
        CodeStore(tmp_path)
    about.write_text(whole)
    store = CodeStore(tmp_path)
    (tmp_path / "shard-00000.safetensors").write_bytes(b"rubbish" * 10)
    with pytest.raises(ValueError, match=r"shard-00000\.safetensors cannot be read"):
        store.codes(0)
    (tmp_path / "shard-00000.jsonl").write_text('{"path": 1}\n')
    with pytest.raises(ValueError, match=r"shard-00000\.jsonl:1"):
        CodeStore(tmp_path)
