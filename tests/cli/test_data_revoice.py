"""The verb that gives Moshi's channel another voice, with codes of chance and a codec of random weights."""

from pathlib import Path

import pytest

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
