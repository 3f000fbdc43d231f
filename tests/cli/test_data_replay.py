"""The verb that keeps what a Moshi says of its own accord."""

import pytest
import torch

from moshi_zoo.data.alignments import MAIN
from moshi_zoo.data.code_store import CodeStore
from tests.cli import conversational


@pytest.fixture
def talk(tmp_path, monkeypatch):
    """A Moshi `moshi`, and dialogues `talk` in codes; the current folder."""
    monkeypatch.chdir(tmp_path)
    conversational.store(tmp_path / "talk", tmp_path / "codec")
    conversational.tiny_moshi(tmp_path / "moshi", tmp_path / "codec")
    return CodeStore("talk")


def replay(moshi_zoo, out, *options):
    return moshi_zoo("data", "replay", "talk", "--model", "./moshi", "--split", "valid", "--out", out, *options)


def test_words_are_the_models_codes_the_users_and_the_voice_is_left_out(talk, moshi_zoo):
    code, out, _ = replay(moshi_zoo, "again")
    assert code == 0
    assert "again: 4 dialogues" in out
    again = CodeStore("again")
    assert again.codec == talk.codec
    original = {f"talk/{entry.path}": talk.codes(i) for i, entry in enumerate(talk.entries)}
    for i, entry in enumerate(again.entries):
        voice, user = again.codes(i)
        assert (voice == -1).all()
        assert torch.equal(user, original[entry.path][1])
        assert entry.split == "train"
    said = [word.text for i in range(4) for word in again.words(i) if word.speaker == MAIN]
    assert said
    heard = [word.text for i in range(4) for word in again.words(i) if word.speaker != MAIN]
    assert heard == ["two", "nine"] * 3


def test_the_same_seed_says_the_same_and_the_voice_can_be_kept(talk, moshi_zoo):
    stores = []
    for out, *options in (["a"], ["b", "--keep-voice"], ["c", "--seed", "1"]):
        assert replay(moshi_zoo, out, *options)[0] == 0
        stores.append(CodeStore(out))
    first, second, third = ([store.words(i) for i in range(4)] for store in stores)
    assert first == second
    assert first != third
    assert (stores[1].codes(0)[0] >= 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("again", "--batch-size", "0"), "batch_size is 0"),
        (("talk",), "talk is not empty"),
        (("again", "--limit", "0"), "limit is 0"),
    ],
)
def test_wrong_use_is_said_and_nothing_written(talk, moshi_zoo, tmp_path, options, message):
    code, _, err = replay(moshi_zoo, *options)
    assert code == 2
    assert message in err
    assert not (tmp_path / "again").exists()
