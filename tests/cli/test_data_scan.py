"""The verb that looks through recordings."""

import json

import pytest
import torch

from moshi_zoo.data import audio
from moshi_zoo.data.manifest import read_manifest
from tests.data.test_scan import CLEAN, RATE, TEXT, speech


@pytest.fixture
def voice(tmp_path, monkeypatch):
    """A folder `anna` of recordings: two good ones, a clipped one, one that is no audio; the current folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "anna"
    folder.mkdir()
    for i, name in enumerate("abc"):
        wav = speech(CLEAN, seed=i) * (12 if name == "c" else 1)
        audio.save(folder / f"{name}.wav", wav.clamp(-0.9, 0.9)[None], RATE)
        (folder / f"{name}.txt").write_text(TEXT)
    (folder / "d.wav").write_bytes(b"RIFF")
    return folder


def test_what_is_wrong_and_what_comes_next_is_said_and_the_rest_written(voice, moshi_zoo):
    code, out, _ = moshi_zoo("data", "scan", "anna", "--out", "anna/usable.jsonl", "--report", "new/report.json")
    assert code == 0
    assert "4 recordings of a voice, 3 can be used: 0.1 minutes of speech" in out
    assert "UNUSABLE: unreadable" in out
    assert "1 clipped: record it again with less gain" in out
    assert "data align anna/usable.jsonl --out anna/usable.aligned.jsonl" in out
    assert "minutes are little" in out
    usable = read_manifest("anna/usable.jsonl")
    assert [(r.path.name, r.text, r.speaker) for r in usable] == [(f"{n}.wav", TEXT, "anna") for n in "abc"]
    assert json.loads((voice / "usable.jsonl").read_text().splitlines()[0])["path"] == "a.wav"
    facts = {entry["path"][-5:]: entry for entry in json.loads((voice.parent / "new/report.json").read_text())}
    assert list(facts["c.wav"]["problems"]) == ["clipped"]
    assert facts["a.wav"]["channels"][0]["snr_db"] > 30
    assert facts["d.wav"]["usable"] is False


def test_some_recordings_are_held_out_always_the_same_ones(voice, moshi_zoo):
    for i in range(20):
        (voice / f"{i}.txt").write_text(TEXT)
        audio.save(voice / f"{i}.wav", speech(CLEAN, seed=i)[None], RATE)
    splits = []
    for share in ("0.3", "0.3", "0"):
        assert moshi_zoo("data", "scan", "anna", "--out", "usable.jsonl", "--held-out", share)[0] == 0
        splits.append([recording.split for recording in read_manifest("usable.jsonl")])
    assert splits[0] == splits[1]
    assert 2 <= splits[0].count("valid") <= 12
    assert set(splits[2]) == {"train"}


def test_conversations_are_told_by_their_channels(voice, moshi_zoo):
    (voice.parent / "calls").mkdir()
    stereo = torch.stack([speech([(0.2, 1.5)]), speech([(2.0, 3.8)], seed=1)])
    audio.save(voice.parent / "calls/a.wav", stereo, RATE)
    code, out, _ = moshi_zoo("data", "scan", "calls")
    assert code == 0
    assert "1 conversations, 1 can be used" in out
    assert "--transcriber faster-whisper" in out
    assert "monologue" not in out


def test_nothing_usable_is_exit_code_2_and_writes_no_manifest(voice, moshi_zoo):
    for path in voice.glob("[abc].wav"):
        path.unlink()
    code, out, err = moshi_zoo("data", "scan", "anna", "--out", "usable.jsonl")
    assert code == 2
    assert "record or convert it again" in out
    assert "none of the 1 recordings in anna can be used" in err
    assert not (voice.parent / "usable.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [(["nowhere"], "does not exist"), (["anna", "--held-out", "0.9"], "held_out is 0.9; it must be 0 to 0.5")],
)
def test_wrong_use_is_said(voice, moshi_zoo, words, message):
    code, _, err = moshi_zoo("data", "scan", *words)
    assert code == 2
    assert message in err
