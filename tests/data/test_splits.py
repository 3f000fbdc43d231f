import itertools
from pathlib import Path

import pytest

from moshi_zoo.data.manifest import Recording
from moshi_zoo.data.splits import Span, split


def _recordings(count, seconds=10.0, speakers=None, folder="/data"):
    return [
        Recording(Path(f"{folder}/{i}.wav"), seconds, speaker=None if speakers is None else f"speaker {i % speakers}")
        for i in range(count)
    ]


def _seconds(spans):
    return sum(span.duration for span in spans)


def test_the_manifest_decides():
    marks = ["train", "valid", "test", None]
    recordings = [Recording(Path(f"{mark}.wav"), 1.0, split=mark) for mark in marks]
    splits = split(recordings, validation_share=0.05, seed=0)
    names = [[span.path.stem for span in spans] for spans in (splits.train, splits.valid, splits.test)]
    assert names == [["train", "None"], ["valid"], ["test"]]


def test_the_test_split_validates_where_there_is_no_other():
    recordings = [Recording(Path(f"{mark}.wav"), 1.0, split=mark) for mark in ("train", "test")]
    splits = split(recordings, validation_share=0.05, seed=0)
    assert splits.valid == splits.test == [Span(Path("test.wav"), 0.0, 1.0)]


def test_speakers_are_held_out_whole():
    recordings = _recordings(100, speakers=20)
    splits = split(recordings, validation_share=0.1, seed=0)
    who = {recording.path: recording.speaker for recording in recordings}
    train, valid = ({who[span.path] for span in spans} for spans in (splits.train, splits.valid))
    assert not train & valid
    assert len(train | valid) == 20
    assert _seconds(splits.valid) == pytest.approx(100, rel=0.5)


@pytest.mark.parametrize("speakers", [None, 1, 2])
def test_files_are_held_out_where_speakers_are_few_or_unknown(speakers):
    splits = split(_recordings(50, speakers=speakers), validation_share=0.1, seed=0)
    assert _seconds(splits.valid) == pytest.approx(50)
    assert not {span.path for span in splits.train} & {span.path for span in splits.valid}


@pytest.mark.parametrize("count", [0, 1, 2])
def test_the_end_of_the_longest_file_is_held_out_where_files_are_few(count):
    recordings = [*_recordings(count), Recording(Path("long.wav"), 15.0)]
    splits = split(recordings, validation_share=0.05, seed=0)
    (tail,) = splits.valid
    assert tail.path == Path("long.wav")
    assert tail.start + tail.duration == pytest.approx(15)
    assert tail.duration == pytest.approx(0.05 * (15 + 10 * count))
    assert Span(Path("long.wav"), 0.0, tail.start) in splits.train


def test_who_is_held_out_depends_on_the_seed_and_not_on_the_place_or_order():
    here, there = _recordings(50), _recordings(50, folder="/elsewhere/data")[::-1]
    held = [
        {span.path.name for span in split(r, validation_share=0.1, seed=s).valid} for r in (here, there) for s in (0, 1)
    ]
    assert held[0] == held[2] != held[1] == held[3]


def test_no_share_takes_everything():
    for share, count, speakers in itertools.product((0.01, 0.3, 0.5), (1, 2, 5, 20), (None, 1, 2)):
        splits = split(_recordings(count, speakers=speakers), validation_share=share, seed=0)
        total = _seconds(splits.train) + _seconds(splits.valid)
        assert total == pytest.approx(10 * count)
        assert _seconds(splits.train) >= 0.49 * total
        assert _seconds(splits.valid) > 0
