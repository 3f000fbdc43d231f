"""The verb that fills a store of codes, with a codec of random weights."""

import json

import pytest
import torch
import torch.nn.functional as F

from moshi_zoo.data import audio, code_encoding
from moshi_zoo.data.code_store import CodeStore
from tests.cli.codecs import tiny_codec
from tests.data.sounds import noise


@pytest.fixture
def codec(tmp_path, monkeypatch):
    """The codec `tiny`, and two stereo files in the folder `talk`; the current folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "talk"
    folder.mkdir()
    for name, seconds in (("a", 0.7), ("b", 0.3)):
        audio.save(folder / f"{name}.wav", noise(seconds, 16_000, 2), 16_000)
    words = {"alignments": [["hello", [0.1, 0.4], "SPEAKER_MAIN"]]}
    (folder / "a.json").write_text(json.dumps(words))
    (folder / "manifest.jsonl").write_text('{"path": "a.wav", "duration": 0.7}\n{"path": "b.wav", "duration": 0.3}\n')
    return tiny_codec(tmp_path / "checkpoints/tiny")


def test_codes_are_those_of_a_live_conversation(codec, moshi_zoo, monkeypatch):
    monkeypatch.setattr(code_encoding, "BLOCK_FRAMES", 2)
    code, out, _ = moshi_zoo("data", "encode", "talk", "--model", "tiny", "--out", "store")
    assert code == 0
    assert "store: 2 dialogues (0.0 min) encoded" in out
    store = CodeStore("store")
    assert store.codec.num_codebooks == codec.num_codebooks
    for number, entry in enumerate(store.entries):
        wav = audio.load(entry.path, 24_000)[:, None]
        with torch.inference_mode():
            whole = codec.encode(F.pad(wav, (0, -wav.shape[-1] % codec.frame_size)))
        assert torch.equal(store.codes(number), whole)
    assert [entry.num_words for entry in store.entries] == [None, 1]  # the shorter comes first


def test_what_is_there_is_not_encoded_again_and_another_codec_is_refused(codec, moshi_zoo, tmp_path):
    moshi_zoo("data", "encode", "talk", "--model", "tiny", "--out", "store", "--num-codebooks", 2)
    code, out, _ = moshi_zoo("data", "encode", "talk", "--model", "tiny", "--out", "store", "--num-codebooks", 2)
    assert code == 0
    assert "0 dialogues (0.0 min) encoded, 2 were there; 2 codebooks of 32" in out
    tiny_codec(tmp_path / "checkpoints/other", seed=1)
    code, _, err = moshi_zoo("data", "encode", "talk", "--model", "other", "--out", "store", "--num-codebooks", 2)
    assert code == 2
    assert "holds codes of another codec: tiny" in err


def test_bad_files_are_listed_and_too_many_stop_the_run(codec, moshi_zoo, tmp_path):
    (tmp_path / "talk/b.wav").write_bytes(b"")
    code, _, err = moshi_zoo("data", "encode", "talk", "--model", "tiny", "--out", "store")
    assert code == 2
    assert "1 of 2 files cannot be used" in err
    assert moshi_zoo("data", "encode", "talk", "--model", "tiny", "--out", "store", "--max-bad-share", 0.5)[0] == 0
    assert json.loads((tmp_path / "store/bad_files.jsonl").read_text())["path"] == "talk/b.wav"
    assert len(CodeStore("store").entries) == 1


def test_wrong_numbers_are_explained(codec, moshi_zoo):
    code, _, err = moshi_zoo("data", "encode", "talk", "--model", "tiny", "--out", "store", "--num-codebooks", 99)
    assert (code, "but tiny has" in err) == (2, True)
    assert moshi_zoo("data", "encode", "talk", "--model", "tiny", "--out", "store", "--batch-size", 0)[0] == 2


def test_both_channels_may_go_into_one(codec, moshi_zoo):
    words = ("data", "encode", "talk", "--model", "tiny", "--out", "store", "--view", "mono")
    assert moshi_zoo(*words)[0] == 0
    assert [entry.channels for entry in CodeStore("store").entries] == [1, 1]
    code, _, err = moshi_zoo(*words[:-1], "duplex")
    assert (code, "encode into a new folder" in err) == (2, True)
