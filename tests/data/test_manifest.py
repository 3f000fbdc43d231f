import json
from pathlib import Path

import pytest

from moshi_zoo.data.manifest import Recording, find, read_manifest

DATA = Path(__file__).parents[3] / "shared" / "data"


def _write(path, *entries):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((e if isinstance(e, str) else json.dumps(e)) + "\n" for e in entries))
    return path


def _touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_manifest_is_read_with_all_it_knows(tmp_path):
    entry = {
        "path": "x/a.wav",
        "duration": 2,
        "split": "validation",
        "speaker": 1089,
        "text": "hi",
        "words": [["hi", 0.1, 0.4]],
        "kind": "noise",
        "licence": "ignored",
    }
    manifest = _write(tmp_path / "any-name.jsonl", entry, "", {"path": "b.flac", "duration_s": 1.5})
    expected = Recording(tmp_path / "x/a.wav", 2.0, "valid", "1089", "hi", [["hi", 0.1, 0.4]], "noise")
    assert find(manifest) == [expected, Recording(tmp_path / "b.flac", 1.5)]


def test_paths_may_be_relative_to_the_folder_above_or_absolute(tmp_path):
    _touch(tmp_path, "digits/a.wav", "other/b.wav")
    manifest = _write(
        tmp_path / "digits/manifest.jsonl", {"path": "digits/a.wav"}, {"path": str(tmp_path / "other/b.wav")}
    )
    assert [r.path for r in read_manifest(manifest)] == [tmp_path / "digits/a.wav", tmp_path / "other/b.wav"]
    manifest = _write(tmp_path / "digits/manifest.jsonl", {"path": "../other/b.wav"})
    assert [r.path for r in read_manifest(manifest)] == [tmp_path / "other/b.wav"]


def test_a_folder_is_searched_through_and_through(tmp_path):
    _touch(
        tmp_path, "b.WAV", "a/b/c.flac", "a/x.ogg", "talk.m4a", "notes.txt", ".hidden.wav", ".git/d.wav", "a/._x.ogg"
    )
    assert [str(r.path.relative_to(tmp_path)) for r in find(tmp_path)] == ["a/b/c.flac", "a/x.ogg", "b.WAV", "talk.m4a"]


def test_a_folder_learns_from_the_manifests_in_it(tmp_path):
    _touch(tmp_path, "a/1.wav", "a/2.wav", "b/3.wav")
    _write(tmp_path / "a/manifest.jsonl", {"path": "1.wav", "split": "test", "speaker": "x"}, {"path": "gone.wav"})
    _write(tmp_path / "text/manifest.jsonl", {"path": "text/story.txt", "split": "train+valid"})
    found = {r.path.name: (r.split, r.speaker) for r in find(tmp_path)}
    assert found == {"1.wav": ("test", "x"), "2.wav": (None, None), "3.wav": (None, None), "gone.wav": (None, None)}


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path):
    _touch(tmp_path, "disk/a.wav", "corpus/b.wav")
    (tmp_path / "corpus/more").symlink_to(tmp_path / "disk")
    (tmp_path / "corpus/circle").symlink_to(tmp_path / "corpus")
    assert [str(r.path.relative_to(tmp_path)) for r in find(tmp_path / "corpus")] == [
        "corpus/b.wav",
        "corpus/more/a.wav",
    ]


def test_one_file_is_a_source_too(tmp_path):
    _touch(tmp_path, "a.mp3")
    assert find(str(tmp_path / "a.mp3")) == [Recording(tmp_path / "a.mp3")]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{path: a.wav}", "not JSON"),
        ('["a.wav"]', "not a JSON object"),
        ('{"duration": 1}', '"path" is missing'),
        ('{"path": 3}', '"path" is 3, not a text'),
        ('{"path": "a.wav", "duration": "long"}', "\"duration\" is 'long', not a number"),
        ('{"path": "a.wav", "split": "training"}', "not train, valid or test"),
        ('{"path": "a.wav", "words": "hello"}', "not a list"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, line, problem):
    manifest = _write(tmp_path / "manifest.jsonl", {"path": "fine.wav"}, line)
    with pytest.raises(ValueError, match=r"manifest.jsonl:2: .*; a line looks like") as error:
        find(manifest)
    assert problem in str(error.value)


def test_sources_with_nothing_in_them_say_so(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        find(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="is empty"):
        find(_write(tmp_path / "manifest.jsonl", ""))
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="holds no audio"):
        find(tmp_path / "folder")
    _touch(tmp_path, "a.txt")
    with pytest.raises(ValueError, match="neither a manifest"):
        find(tmp_path / "a.txt")


@pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the shared recordings in {DATA}")
def test_the_shared_recordings_are_found_with_their_splits():
    found = find(DATA)
    assert len(found) > 2900
    assert all(recording.path.is_file() for recording in found)
    assert {recording.split for recording in found} == {"train", "valid", "test"}
    assert len(find(DATA / "digits" / "manifest.jsonl")) == 2500
