"""Dialogues spoken and encoded at once: the same codes, however they came about."""

import json
from dataclasses import replace

import pytest
import torch

from moshi_zoo.data import dialogue_code_corpus
from moshi_zoo.data.alignments import find_dialogues
from moshi_zoo.data.code_encoding import encode_dialogues
from moshi_zoo.data.code_store import CodecIdentity, CodeStore, CodeStoreWriter
from moshi_zoo.data.dialogue_audio_corpus import make
from moshi_zoo.data.dialogue_code_corpus import Goal, fill
from moshi_zoo.data.dialogue_corpus import Corpus

CODEC = CodecIdentity("loudness", "f" * 64, 24_000, 12.5, num_codebooks=1, codebook_size=1 << 15)
FRAME = 1920


def open_codec():
    """A codec whose code is the loudness of what came last, so that it has a state, too."""

    def start(batch_size):
        past = torch.zeros(batch_size, FRAME)

        def encode(wav):
            nonlocal past
            wav = torch.cat([past, wav[:, 0]], dim=1)
            past = wav[:, -FRAME:]
            loudness = wav.unfold(1, 2 * FRAME, FRAME).double().square().mean(-1).sqrt()
            return (loudness * 30_000).round().long()[:, None]

        return encode

    return start


def open_codec_with_short_blocks():
    """In a process of its own, which starts with blocks of the usual size."""
    dialogue_code_corpus.BLOCK = 3
    return open_codec()


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    monkeypatch.setattr(dialogue_code_corpus, "BLOCK", 3)


def filled(folder, goal, corpus=None, **settings):
    *_, last = fill(CodeStoreWriter(folder, CODEC), corpus or Corpus(), open_codec, goal, **settings)
    return last


def content(folder):
    store = CodeStore(folder)
    return [
        (replace(entry, shard=0), store.codes(i).tolist(), store.words(i), store.about(i))
        for i, entry in enumerate(store.entries)
    ]


def test_codes_and_all_else_are_those_of_the_encoded_files(tmp_path, monkeypatch):
    monkeypatch.setattr("moshi_zoo.data.dialogue_audio_corpus.BLOCK", 3)
    filled(tmp_path / "direct", Goal(4))
    make(tmp_path / "files", Corpus(), dialogues=4)
    list(encode_dialogues(find_dialogues(tmp_path / "files"), CodeStoreWriter(tmp_path / "store", CODEC), open_codec()))
    direct, by_file = CodeStore(tmp_path / "direct"), CodeStore(tmp_path / "store")
    numbers = {by_file.about(i)["number"]: i for i in range(4)}
    for i in range(4):
        j = numbers[i]
        assert torch.equal(direct.codes(i), by_file.codes(j))
        assert direct.about(i) == by_file.about(j)
        assert [word.text for word in direct.words(i)] == [word.text for word in by_file.words(j)]
        assert direct.entries[i].split == by_file.entries[j].split == "train"
    assert {"family", "voices", "turns"} <= set(direct.about(0))
    assert {"start_s", "end_s", "expected"} <= set(direct.about(0)["turns"][0])


def test_several_processes_make_the_same_as_one(tmp_path):
    filled(tmp_path / "one", Goal(5))
    writer = CodeStoreWriter(tmp_path / "two", CODEC)
    list(fill(writer, Corpus(), open_codec_with_short_blocks, Goal(5), processes=2))
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_a_run_that_was_stopped_goes_on_to_the_same_dialogues(tmp_path, monkeypatch):
    monkeypatch.setattr(dialogue_code_corpus, "_SHARD_DIALOGUES", 2)
    filled(tmp_path / "once", Goal(8))
    run = fill(CodeStoreWriter(tmp_path / "twice", CODEC), Corpus(), open_codec, Goal(8))
    for _ in range(3):
        next(run)
    run.close()
    assert 0 < len(CodeStore(tmp_path / "twice").entries) < 8
    assert filled(tmp_path / "twice", Goal(7)).dialogues == 7  # which is no end of a block
    assert filled(tmp_path / "twice", Goal(8)).made == 1
    assert content(tmp_path / "once") == content(tmp_path / "twice")


def test_a_removed_shard_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(dialogue_code_corpus, "_SHARD_DIALOGUES", 2)
    filled(tmp_path, Goal(6))
    before = content(tmp_path)
    for file in tmp_path.glob("shard-00000.*"):
        file.unlink()
    filled(tmp_path, Goal(6))
    assert sorted(content(tmp_path), key=lambda dialogue: dialogue[0].path) == before


def test_what_is_there_is_enough(tmp_path, monkeypatch):
    filled(tmp_path, Goal(2))
    monkeypatch.setattr(dialogue_code_corpus, "_Worker", None)
    done = filled(tmp_path, Goal(1))
    assert (done.dialogues, done.made) == (1, 0)
    assert filled(tmp_path, Goal(minutes=0.05)).made == 0


def test_a_store_holds_several_splits_and_lengths_in_minutes(tmp_path):
    filled(tmp_path / "minutes", Goal(minutes=0.2))
    made = filled(tmp_path / "minutes", Goal(minutes=0.6))
    assert 36 <= made.seconds < 60
    filled(tmp_path / "number", Goal(made.dialogues))
    assert content(tmp_path / "minutes") == content(tmp_path / "number")
    filled(tmp_path / "minutes", Goal(1), Corpus("valid"))
    splits = [entry.split for entry in CodeStore(tmp_path / "minutes").entries]
    assert splits == ["train"] * made.dialogues + ["valid"]


def test_both_speakers_may_be_mixed_into_one_channel(tmp_path):
    filled(tmp_path, Goal(1), view="mono")
    store = CodeStore(tmp_path)
    assert store.codes(0).shape[0] == store.entries[0].channels == 1
    assert {word.speaker for word in store.words(0)} == {"SPEAKER_MAIN", "SPEAKER_USER"}
    with pytest.raises(ValueError, match="view was 'mono'"):
        filled(tmp_path, Goal(1))


def test_other_settings_are_refused(tmp_path):
    filled(tmp_path, Goal(1))
    with pytest.raises(ValueError, match=r"the split train of .*seed was 0"):
        filled(tmp_path, Goal(1), Corpus(seed=1))
    filled(tmp_path, Goal(1), Corpus("valid", seed=1))
    assert set(json.loads((tmp_path / "dialogues.json").read_text())) == {"train", "valid"}


@pytest.mark.parametrize("goal", [{}, {"dialogues": 1, "minutes": 1}, {"dialogues": 0}, {"minutes": -1}])
def test_it_must_be_said_how_much(goal):
    with pytest.raises(ValueError, match="more than 0"):
        Goal(**goal)


def test_another_sample_rate_is_refused(tmp_path):
    writer = CodeStoreWriter(tmp_path, replace(CODEC, sample_rate=16_000))
    with pytest.raises(ValueError, match="24000 Hz, but loudness works at 16000"):
        list(fill(writer, Corpus(), open_codec, Goal(1)))
