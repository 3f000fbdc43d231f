"""The verb that gives Moshi's channel another voice, with codes of chance and a codec of random weights."""

import json
from pathlib import Path

import pytest
import torch

from moshi_zoo.data import audio
from moshi_zoo.data.code_store import CodeStore
from moshi_zoo.models.mimi import Mimi
from tests.cli import conversational
from tests.cli.codecs import tiny_codec
from tests.data.singing import RATE, voice


@pytest.fixture
def talk(tmp_path, monkeypatch):
    """Dialogues `talk` in codes of the codec `checkpoints/codec`, and her recordings `her`; the current folder."""
    monkeypatch.chdir(tmp_path)
    conversational.store(tmp_path / "talk", tmp_path / "checkpoints/codec")
    Path("her").mkdir()
    for name, hz in [("a", 130.0), ("b", 132.0), ("c", 300.0)]:
        audio.save(f"her/{name}.wav", voice(hz, 1.0)[None], RATE)
    splits = {"a": "train", "b": "train", "c": "valid"}
    lines = [json.dumps({"path": f"{name}.wav", "split": split}) for name, split in splits.items()]
    Path("her/manifest.jsonl").write_text("\n".join(lines))
    return CodeStore("talk")


def sound(self, codes, state=None):
    """A codec of random weights says nothing that could be a voice; this one does."""
    wav = voice(190.0, 0.2, "aiou" * 3)
    return wav.repeat(10)[: codes.shape[-1] * self.frame_size].expand(len(codes), 1, -1)


def revoice(moshi_zoo, *options, source="talk"):
    return moshi_zoo("data", "revoice", source, "--voice", "her", "--model", "codec", "--out", "new", *options)


def test_moshis_acoustic_codes_alone_become_others(talk, moshi_zoo, monkeypatch):
    monkeypatch.setattr(Mimi, "decode", sound)
    code, out, err = revoice(moshi_zoo, "--limit", "3")
    assert code == 0, err
    assert "new: 3 dialogues in the voice of 2 recordings" in out
    new = CodeStore("new")
    assert new.codec == talk.codec
    assert len(new.entries) == 3
    for i in range(3):
        before, after = talk.codes(i), new.codes(i)
        assert after.shape == before.shape
        assert torch.equal(after[1], before[1])
        assert torch.equal(after[0, 0], before[0, 0]), "the semantic code says which words"
        assert not torch.equal(after[0, 1:], before[0, 1:])
        assert new.words(i) == talk.words(i)
        assert new.about(i) == talk.about(i)
        assert new.entries[i].split == "valid"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--limit", "0"), "limit is 0"),
        (("--split", "test"), "no dialogue of two channels with the split 'test'"),
        (("--model", "other"), "was made by another codec"),
        (("--voice", "valid.jsonl"), "no recordings to train on"),
        (("--voice", "nobody"), "nobody does not exist"),
        (("--out", "talk"), "talk is not empty"),
    ],
)
def test_wrong_use_is_said_and_nothing_written(talk, moshi_zoo, options, message):
    tiny_codec(Path("checkpoints/other"), seed=1)
    Path("valid.jsonl").write_text('{"path": "her/c.wav", "split": "valid"}\n')
    code, _, err = revoice(moshi_zoo, *options)
    assert code == 2
    assert message in err
    assert not Path("new").exists()


def test_a_replay_without_the_voice_cannot_be_revoiced(talk, moshi_zoo):
    conversational.tiny_moshi(Path("checkpoints/moshi"), Path("checkpoints/codec"))
    assert moshi_zoo("data", "replay", "talk", "--model", "moshi", "--split", "valid", "--out", "without")[0] == 0
    code, _, err = revoice(moshi_zoo, source="without")
    assert code == 2
    assert "replay with --keep-voice" in err
