import json

import pytest

from moshi_zoo.data.alignments import MAIN, OTHER, Word, find_dialogues, mixture, read_words, sidecar, write_words
from moshi_zoo.data.manifest import Recording


def test_words_come_back_as_they_were_written(tmp_path):
    words = [Word("hello,", 0.25, 0.5, MAIN), Word("hi", 0.3, 0.4, OTHER)]
    write_words(tmp_path / "a.wav", words, {"family": "talk"})
    assert read_words(Recording(tmp_path / "a.wav")) == words
    written = json.loads((tmp_path / "a.json").read_text())
    assert written == {
        "alignments": [["hello,", [0.25, 0.5], "SPEAKER_MAIN"], ["hi", [0.3, 0.4], "SPEAKER_USER"]],
        "family": "talk",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_files_of_moshi_finetune_are_read_in_order_of_time_whatever_order_they_have(tmp_path):
    alignments = [[" there", [1, 1.5], "SPEAKER_MAIN"], ["hi", [0.2, 0.4], "SPEAKER_01"]]
    (tmp_path / "a.json").write_text(json.dumps({"alignments": alignments, "text_conditions": {"x": "y"}}))
    words = read_words(Recording(tmp_path / "a.wav", words=[["no", 0, 1]]))
    assert words == [Word("hi", 0.2, 0.4, "SPEAKER_01"), Word("there", 1, 1.5, MAIN)]


def test_words_of_a_manifest_serve_where_there_is_no_file(tmp_path):
    words = [["you", 0.5, 0.6, 1], ["me", 0.1, 0.2, 0], ["she", 0.3, 0.4, "MEO069"], ["it", 0.7, 0.8]]
    speakers = [word.speaker for word in read_words(Recording(tmp_path / "a.wav", words=words))]
    assert speakers == [MAIN, "MEO069", OTHER, MAIN]
    assert read_words(Recording(tmp_path / "a.wav")) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "no list"),
        ('{"alignments": {}}', "no list"),
        ('{"alignments": [["a", 0.1, 0.2]]}', "0.1, 0.2"),
        ('{"alignments": [["a", [0.1, NaN], "x"]]}', "nan"),
        ('{"alignments": [["a", [0.1, 0.2], null]]}', "None"),
        ('{"alignments": [[7, [0.1, 0.2], "x"]]}', "7"),
    ],
)
def test_a_malformed_file_is_named_with_the_word(tmp_path, content, message):
    sidecar(tmp_path / "a.wav").write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        read_words(Recording(tmp_path / "a.wav"))
    assert "a.json" in str(error.value)


def test_malformed_words_of_a_manifest_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"a\.wav.*'a', 0.1, 0.2, 2"):
        read_words(Recording(tmp_path / "a.wav", words=[["a", 0.1, 0.2, 2]]))


def test_a_folder_gives_the_dialogues_of_all_its_manifests_once(recordings):
    folder = recordings({"one/a.wav": 0.1, "one/b.wav": 0.1, "two/c.wav": 0.1})
    (folder / "one/train.jsonl").write_text('{"path": "a.wav", "duration": 0.1}\n{"path": "b.wav", "duration": 0.1}\n')
    (folder / "all.jsonl").write_text('{"path": "one/a.wav", "duration": 0.1}\n')
    assert [r.path.name for r in find_dialogues(folder)] == ["a.wav", "b.wav"]
    assert [r.path.name for r in find_dialogues(folder / "all.jsonl")] == ["a.wav"]
    assert [r.path.name for r in find_dialogues(folder / "two")] == ["c.wav"]


def test_mixtures_are_written_as_moshi_finetune_does_or_mapped():
    assert mixture("a:0.7,b/c.jsonl:0.3") == {"a": 0.7, "b/c.jsonl": 0.3}
    assert mixture("calls") == {"calls": 1.0}
    assert mixture("C:/calls") == {"C:/calls": 1.0}
    assert mixture({"a": 2}) == {"a": 2.0}


@pytest.mark.parametrize("source", ["", "a:0", "a:-1,b", "a:inf", "a,a", {}])
def test_mixtures_that_make_no_sense_are_refused(source):
    with pytest.raises(ValueError, match="the source is"):
        mixture(source)
