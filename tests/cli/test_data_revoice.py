"""The verb that gives Moshi's channel another voice, with codes of chance and a codec of random weights."""

from pathlib import Path

import pytest
import torch

from moshi_zoo.data.code_store import CodeStore
from tests.cli import conversational
from tests.cli.codecs import tiny_codec
from tests.data.stores import make_store


@pytest.fixture
def talk(tmp_path, monkeypatch):
    """Dialogues `talk` and recordings `her` in codes of the codec `checkpoints/codec`; the current folder."""
    monkeypatch.chdir(tmp_path)
    conversational.store(tmp_path / "talk", tmp_path / "checkpoints/codec")
    store = CodeStore("talk")
    make_store(tmp_path / "her", {"a.wav": 50, "b.wav": 60}, codec=store.codec, splits={"b.wav": "valid"})
    return store


def revoice(moshi_zoo, *options, source="talk"):
    return moshi_zoo("data", "revoice", source, "--voice", "her", "--model", "codec", "--out", "new", *options)


def test_moshi_gets_frames_of_her_recordings_and_the_user_stays(talk, moshi_zoo):
    code, out, err = revoice(moshi_zoo)
    assert code == 0, err
    assert "new: 4 dialogues in the voice of her" in out
    new, hers = CodeStore("new"), set(map(tuple, CodeStore("her").codes(0)[0].T.tolist()))
    changed = 0
    for i in range(4):
        before, after = talk.codes(i), new.codes(i)
        assert torch.equal(after[1], before[1])
        frames = after[0].T.tolist()
        kept = (after[0] == before[0]).all(0).tolist()
        assert all(same or tuple(frame) in hers for frame, same in zip(frames, kept, strict=True))
        changed += kept.count(False)
        assert new.words(i) == talk.words(i)
        assert new.about(i) == talk.about(i)
        assert new.entries[i].split == "valid"
    assert changed > 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--limit", "0"), "limit is 0"),
        (("--split", "test"), "no dialogue of two channels with the split 'test'"),
        (("--model", "other"), "was made by another codec"),
        (("--voice", "talk"), "no recordings to train on"),
        (("--out", "talk"), "talk is not empty"),
    ],
)
def test_wrong_use_is_said_and_nothing_written(talk, moshi_zoo, options, message):
    tiny_codec(Path("checkpoints/other"), seed=1)
    code, _, err = revoice(moshi_zoo, *options)
    assert code == 2
    assert message in err
    assert not Path("new").exists()


def test_a_replay_without_the_voice_cannot_be_revoiced(talk, moshi_zoo):
    conversational.tiny_moshi(Path("checkpoints/moshi"), Path("checkpoints/codec"))
    words = ("--model", "moshi", "--split", "valid", "--out")
    assert moshi_zoo("data", "replay", "talk", *words, "without")[0] == 0
    code, _, err = revoice(moshi_zoo, source="without")
    assert code == 2
    assert "replay with --keep-voice" in err
