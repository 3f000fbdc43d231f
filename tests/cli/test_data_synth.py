"""The verb that speaks dialogues."""

import json
from pathlib import Path

import pytest

from moshi_zoo.data import dialogue_code_corpus
from moshi_zoo.data.alignments import MAIN, find_dialogues, read_words
from moshi_zoo.data.code_store import CodeStore
from tests.cli.codecs import tiny_codec

RECORDINGS = Path(__file__).parents[3] / "shared/data"


def test_dialogues_are_made_and_more_are_added(moshi_zoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = moshi_zoo("data", "synth", "--out", "talk", "--dialogues", 1, "--augmentation", "none")
    assert code == 0
    assert "talk/manifest.jsonl: 1 train dialogues, " in out
    assert moshi_zoo("data", "synth", "--out", "talk", "--minutes", 0.1, "--split", "test")[0] == 0
    assert [recording.split for recording in find_dialogues("talk")][:2] == ["train", "test"]


def test_wrong_use_is_explained(moshi_zoo, tmp_path):
    code, _, err = moshi_zoo("data", "synth", "--out", tmp_path / "a", "--minutes", 0)
    assert code == 2
    assert "minutes" in err
    code, _, err = moshi_zoo("data", "synth", "--out", tmp_path / "b", "--dialogues", 1, "--user-recordings", "nowhere")
    assert code == 2
    assert "nowhere does not exist" in err
    code, _, err = moshi_zoo("data", "synth", "--out", tmp_path / "c", "--dialogues", 1, "--reply-s", 5)
    assert code == 2
    assert "reply_s is 5.0; it must be 0.1 to 3 seconds" in err


def test_recorded_digits_take_the_user_s_part_and_recorded_noise_is_around(moshi_zoo, tmp_path):
    if not (RECORDINGS / "digits").is_dir():
        pytest.skip(f"no recorded digits in {RECORDINGS}")
    options = ("--user-recordings", RECORDINGS / "digits/manifest.jsonl", "--noise", RECORDINGS / "noise")
    assert moshi_zoo("data", "synth", "--out", tmp_path, "--dialogues", 3, "--split", "valid", *options)[0] == 0
    lines = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert {(line["speaker"], line["family"]) for line in lines} == {("fsdd_nicolas", "spoken digits")}
    words = [word for recording in find_dialogues(tmp_path) for word in read_words(recording)]
    assert any(word.speaker == MAIN for word in words)
    assert all(0.1 < word.end_s - word.start_s < 2 for word in words)


def test_with_a_codec_dialogues_become_codes_at_once_and_a_finished_run_says_so(moshi_zoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dialogue_code_corpus, "BLOCK", 2)
    tiny_codec(tmp_path / "checkpoints/tiny")
    words = ("data", "synth", "--out", "store", "--codec", "tiny", "--num-codebooks", 2, "--processes", 1)
    code, out, _ = moshi_zoo(*words, "--dialogues", 1)
    assert code == 0
    assert "store: 1 train dialogues, " in out
    assert "1 of them new; 2 codebooks of 32 at 12.5 Hz" in out
    assert "all were there" in moshi_zoo(*words, "--dialogues", 1)[1]
    code, _, err = moshi_zoo(*words, "--dialogues", 1, "--view", "mono")
    assert (code, "view was 'recorded'" in err) == (2, True)
    assert CodeStore("store").codes(0).shape[:2] == (2, 2)
    assert moshi_zoo(*words, "--processes", 0)[0] == 2
    assert "give --codec" in moshi_zoo("data", "synth", "--out", "talk", "--view", "mono")[2]


def test_recordings_have_their_shares_of_the_dialogues(moshi_zoo, tmp_path):
    if not (RECORDINGS / "digits").is_dir():
        pytest.skip(f"no recordings in {RECORDINGS}")
    shares = f"{RECORDINGS}/digits/manifest.jsonl:0.4,{RECORDINGS}/read_speech/manifest.jsonl:0.3"
    options = ("--augmentation", "none", "--user-recordings", shares)
    assert moshi_zoo("data", "synth", "--out", tmp_path, "--dialogues", 24, *options)[0] == 0
    lines = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    users = [line["speaker"].partition("_")[0] for line in lines]
    assert 5 <= users.count("fsdd") <= 14
    assert {line["family"] for line, user in zip(lines, users, strict=True) if user == "fsdd"} == {"spoken digits"}
    assert 3 <= sum(line["family"] == "last words" for line in lines) <= 12
    assert moshi_zoo("data", "synth", "--out", tmp_path / "b", "--user-recordings", "a:0.7,b:0.7")[0] == 2
