"""The folder of dialogues: always the same, however it came about."""

import json

import pytest
import soundfile

from moshi_zoo.data.alignments import find_dialogues, read_words, sidecar
from moshi_zoo.data.dialogue_audio_corpus import make
from moshi_zoo.data.dialogue_corpus import Corpus


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_is_moshi_finetune_s_format(tmp_path):
    amount = make(tmp_path, Corpus(), dialogues=2)
    lines = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert [line["path"] for line in lines] == ["train/000000.wav", "train/000001.wav"]
    assert amount.seconds == sum(line["duration"] for line in lines)
    for line, recording in zip(lines, find_dialogues(tmp_path / "manifest.jsonl"), strict=True):
        info = soundfile.info(recording.path)
        assert (info.channels, info.samplerate, info.subtype) == (2, 24_000, "PCM_16")
        assert info.duration == pytest.approx(line["duration"], abs=1e-3)
        words = json.loads(sidecar(recording.path).read_text())["alignments"]
        assert {speaker for _, _, speaker in words} == {"SPEAKER_MAIN", "SPEAKER_USER"}
        assert all(0 <= start < end <= info.duration for _, (start, end), _ in words)
        assert len(read_words(recording)) == len(words)


def test_a_run_that_was_stopped_goes_on_to_the_same_files(tmp_path):
    make(tmp_path / "once", Corpus(augmentation="paper"), dialogues=4)
    make(tmp_path / "twice", Corpus(augmentation="paper"), dialogues=3)
    (tmp_path / "twice/train/000001.json").unlink()  # its words come last: the dialogue is not complete
    (tmp_path / "twice/manifest.jsonl").unlink()
    make(tmp_path / "twice", Corpus(augmentation="paper"), dialogues=4)
    assert content(tmp_path / "once") == content(tmp_path / "twice")


def test_blocks_of_dialogues_do_not_depend_on_where_a_run_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("moshi_zoo.data.dialogue_audio_corpus.BLOCK", 2)
    make(tmp_path / "once", Corpus(), dialogues=4)
    for missing in ((1,), (2,), (0, 3), (1, 3)):
        for number in missing:
            (tmp_path / f"once/train/{number:06d}.json").rename(tmp_path / f"{number}.json")
            (tmp_path / f"once/train/{number:06d}.wav").rename(tmp_path / f"{number}.wav")
        make(tmp_path / "once", Corpus(), dialogues=4)
        for number in missing:
            for suffix in ("json", "wav"):
                made, before = tmp_path / f"once/train/{number:06d}.{suffix}", tmp_path / f"{number}.{suffix}"
                assert made.read_bytes() == before.read_bytes()


def test_what_is_there_is_not_made_again(tmp_path, monkeypatch):
    make(tmp_path, Corpus(), dialogues=2)
    monkeypatch.setattr("moshi_zoo.data.dialogue_audio_corpus.Speaker", None)
    assert make(tmp_path, Corpus(), dialogues=1).dialogues == 1
    assert len((tmp_path / "manifest.jsonl").read_text().splitlines()) == 2


def test_minutes_and_other_splits_are_added_to_the_manifest(tmp_path):
    assert make(tmp_path, Corpus(augmentation="none"), minutes=0.1).seconds >= 6
    make(tmp_path, Corpus("valid"), dialogues=1)
    splits = [recording.split for recording in find_dialogues(tmp_path)]
    assert splits.count("valid") == 1
    assert splits.count("train") == len(splits) - 1


def test_noise_is_that_of_the_split(tmp_path, recordings):
    noise = recordings({"a.wav": 0.5})
    (noise / "manifest.jsonl").write_text('{"path": "a.wav", "split": "train"}')
    make(tmp_path / "talk", Corpus(noise=str(noise), augmentation="paper"), dialogues=1)
    with pytest.raises(ValueError, match="no noise for the split 'valid'"):
        make(tmp_path / "talk", Corpus("valid", noise=str(noise)), dialogues=1)
    make(tmp_path / "talk", Corpus("valid"), dialogues=1)  # nothing was made before: the folder is free


def test_other_settings_in_one_folder_are_refused(tmp_path):
    make(tmp_path, Corpus(), dialogues=1)
    with pytest.raises(ValueError, match="seed was 0"):
        make(tmp_path, Corpus(seed=1), dialogues=1)


@pytest.mark.parametrize("amount", [{}, {"dialogues": 1, "minutes": 1}, {"dialogues": 0}, {"minutes": -1}])
def test_it_must_be_said_how_much(tmp_path, amount):
    with pytest.raises(ValueError, match="more than 0"):
        make(tmp_path, Corpus(), **amount)
