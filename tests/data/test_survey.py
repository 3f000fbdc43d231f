import json

import pytest

from moshi_zoo.data.manifest import find
from moshi_zoo.data.survey import BadFile, BadFiles, survey


def test_headers_are_read_and_bad_files_are_listed_with_the_reason(recordings):
    folder = recordings({"good.flac": 1.0, "short.wav": 0.05, "cut.flac": 1.0})
    (folder / "cut.flac").write_bytes((folder / "cut.flac").read_bytes()[:50])
    (folder / "empty.wav").touch()
    (folder / "talk.m4a").write_bytes(b"\0" * 100)
    usable, bad = survey(find(folder), min_seconds=0.1, quiet=True)
    assert [(recording.path.name, recording.duration) for recording in usable] == [("good.flac", 1.0)]
    reasons = {file.path.name: file.reason for file in bad}
    assert "corrupt" in reasons["cut.flac"]
    assert "0 bytes" in reasons["empty.wav"]
    assert "0.050 s, min_seconds is 0.1" in reasons["short.wav"]
    assert "ffmpeg -i talk.m4a talk.flac" in reasons["talk.m4a"]


def test_bad_files_are_counted_once_and_reported(tmp_path, caplog):
    report = tmp_path / "run" / "bad_files.jsonl"
    account = BadFiles(num_files=10, max_share=0.25, report=report)
    account.add([BadFile(tmp_path / "a.wav", "is silent")])
    account.add([BadFile(tmp_path / "a.wav", "is silent"), BadFile(tmp_path / "b.wav", "is empty")])
    account.add([])
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert lines == [
        {"path": str(tmp_path / "a.wav"), "reason": "is silent"},
        {"path": str(tmp_path / "b.wav"), "reason": "is empty"},
    ]
    assert "2 of 10 files cannot be used" in caplog.text


def test_more_than_the_allowed_share_stops_the_run(tmp_path):
    report = tmp_path / "bad_files.jsonl"
    account = BadFiles(num_files=10, max_share=0.2, report=report)
    account.add(BadFile(tmp_path / f"{i}.wav", f"reason {i}") for i in range(2))
    with pytest.raises(ValueError, match=r"3 of 10 files cannot be used, more than the 20%.*bad_files.jsonl") as error:
        account.add([BadFile(tmp_path / "last.wav", "is silent")])
    assert "last.wav: is silent" in str(error.value)
    assert "last.wav" in report.read_text()


def test_a_new_run_replaces_the_report(tmp_path):
    report = tmp_path / "bad_files.jsonl"
    report.write_text("old\n")
    BadFiles(num_files=10, max_share=0.2, report=report)
    assert not report.exists()
