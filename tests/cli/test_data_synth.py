"""The verb that speaks dialogues."""

import json
from pathlib import Path

import pytest

from moshi_zoo.data.alignments import MAIN, find_dialogues, read_words

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
