"""The verb that shows dialogues."""

import numpy as np
import pytest
from PIL import Image

from moshi_zoo.data import audio
from moshi_zoo.data.code_store import CodecIdentity
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.zoo.config import read_config
from tests.cli.codecs import tiny_codec
from tests.data.stores import make_store


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The codec `tiny`, the file `tok.model`, and a store of the codec's in the current folder."""
    monkeypatch.chdir(tmp_path)
    net = tiny_codec(tmp_path / "checkpoints/tiny")
    Tokenizer.train(["hello moshi there"] * 3, vocab_size=300, size="at most").save(tmp_path / "tok.model")
    sha256 = read_config(tmp_path / "checkpoints/tiny").sha256
    shape = {"num_codebooks": net.num_codebooks, "codebook_size": net.codebook_size}
    codec = CodecIdentity("tiny", sha256, net.sample_rate, net.frame_rate, **shape)
    make_store(tmp_path / "store", {"a.wav": 30, "b.wav": 60}, codec=codec)
    return codec


def test_a_store_in_numbers(store, moshi_zoo):
    code, out, _ = moshi_zoo("data", "inspect", "store", "--tokenizer", "tok.model")
    assert code == 0
    assert "2, 0.1 min; words of 0 are not known" in out
    assert "4 of Moshi, 2 of users" in out
    assert "EPAD 4.4%" in out  # 4 of 90 frames
    assert "0 of 4 words, 0 tokens" in out
    assert "gap" in out
    assert "overlap" in out


def test_what_is_heard_between_moshis_words_is_counted_and_drawn(store, moshi_zoo):
    options = ("--tokenizer", "tok.model", "--picture", "p.png")
    code, out, _ = moshi_zoo("data", "inspect", "store", *options)
    assert code == 0
    assert "heard" not in out
    green = (np.asarray(Image.open("p.png").convert("RGB")) == (70, 150, 90)).all(-1)
    assert not green.any()
    hearing = ("--text-of", "moshi_and_heard", "--heard-delay", 0.72)
    code, out, err = moshi_zoo("data", "inspect", "store", *options, *hearing)
    assert code == 0, err
    assert "heard       2 of the users' 2 words find room between Moshi's" in out
    assert (np.asarray(Image.open("p.png").convert("RGB")) == (70, 150, 90)).all(-1).any()


def test_without_a_tokenizer_nothing_is_said_about_text(store, moshi_zoo):
    _, out, _ = moshi_zoo("data", "inspect", "store")
    assert "PAD" not in out


def test_lost_text_is_remarked(store, moshi_zoo, tmp_path):
    make_store(tmp_path / "short", {"a.wav": 5})
    _, out, err = moshi_zoo("data", "inspect", "short", "--tokenizer", "tok.model")
    assert "1 of 2 words" in out
    assert "of the text is lost" in err


def test_a_dialogue_as_picture_and_as_sound(store, moshi_zoo):
    options = ("--picture", "new/p.png", "--tokenizer", "tok.model", "--audio", "new/a.wav", "--model", "tiny")
    assert moshi_zoo("data", "inspect", "store", "--item", 1, *options)[0] == 0
    assert Image.open("new/p.png").width == 1010
    assert audio.load("new/a.wav", 24_000).shape == (2, 60 * 1920)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["store", "--picture", "p.png"], "give --tokenizer"),
        (["store", "--audio", "a.wav"], "give --model"),
        (["store", "--audio", "a.wav", "--model", "other"], "other did not make these codes"),
        (["store", "--audio", "a.wav", "--model", "tiny", "--item", "2"], "has 2 dialogues"),
        (["talk", "--picture", "p.png", "--tokenizer", "tok.model"], "no store of codes"),
    ],
)
def test_what_is_missing_is_said(store, moshi_zoo, tmp_path, options, message):
    tiny_codec(tmp_path / "checkpoints/other", seed=1)
    code, _, err = moshi_zoo("data", "inspect", *options)
    assert code == 2
    assert message in err


def test_files_that_are_not_encoded_yet_in_numbers(moshi_zoo, tmp_path, recordings_with_words):
    code, out, _ = moshi_zoo("data", "inspect", recordings_with_words)
    assert code == 0
    assert "1, 0.0 min; words of 0 are not known" in out
    assert "1 of Moshi, 0 of users" in out


@pytest.fixture
def recordings_with_words(tmp_path):
    line = '{"path": "a.wav", "duration": 1.0, "words": [["hello", 0.1, 0.4, 0]]}'
    (tmp_path / "manifest.jsonl").write_text(line)
    return tmp_path / "manifest.jsonl"
