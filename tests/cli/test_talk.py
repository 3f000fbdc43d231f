"""The verb `talk`."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from moshi_zoo.cli.talk import TextLine
from moshi_zoo.data import audio
from moshi_zoo.runtime.conversations import Spoken
from moshi_zoo.zoo.config import read_config, write_config
from moshi_zoo.zoo.sampling import Sampling
from tests.runtime.pairs import save_pair


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a pair and recordings."""
    save_pair(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "users").mkdir()
    chance = torch.Generator().manual_seed(0)
    audio.save(tmp_path / "users" / "a.wav", torch.randn(1, 8000, generator=chance) * 0.1, 16_000)
    audio.save(tmp_path / "users" / "b.flac", torch.randn(2, 15_000, generator=chance) * 0.1, 44_100)
    return tmp_path


OPTIONS = ("--model", "moshi", "--lead", 0.1, "--tail", 0.2, "--text-temperature", 1.0)


def test_a_recorded_user_gets_a_reply_in_all_forms(here, moshi_zoo):
    files = ("--stereo", "both.wav", "--json", "new/words.json", "--plot", "talk.png")
    code, out, err = moshi_zoo("talk", "users/a.wav", "--out", "reply.wav", *files, *OPTIONS, "--seed", 3)
    assert code == 0, err
    assert "x real time" in err
    monologue, written = out.splitlines()
    assert written == "reply.wav, both.wav, new/words.json, talk.png"
    reply, rate = audio.read("reply.wav")
    both, _ = audio.read("both.wav")
    assert rate == 24_000
    assert both.shape == (2, 19_200)  # half a second of speech, and the silence around it
    assert torch.equal(both[0], reply[0])
    assert not both[1, : round(0.1 * 24_000)].any()
    assert both[1].any()
    words = json.loads((here / "new" / "words.json").read_text())
    assert words
    assert words[0]["start_s"] == pytest.approx(words[0]["frame"] / 12.5)
    assert all(word["text"] in monologue for word in words if "\ufffd" not in word["text"])  # half a character
    assert {word["speaker"] for word in words} <= {"moshi", "user"}
    assert Image.open("talk.png").size[0] > 500


def test_what_is_heard_is_in_brackets():
    def spoken(piece=None, heard=None):
        return Spoken(0, piece, None, None, heard)

    pieces = [spoken(), spoken(heard=" how"), spoken(heard=" are"), spoken(" mhm"), spoken(), spoken(heard=" yo")]
    pieces += [spoken(heard="u?"), spoken(" fi"), spoken("ne."), spoken(heard=" good")]
    line = TextLine()
    assert "".join(map(line.add, pieces)) + line.end() == line.text == "[how are] mhm [you?] fine. [good]"
    own = TextLine()
    assert "".join(map(own.add, [spoken(" one"), spoken(" two")])) + own.end() == own.text == "one two"


def test_a_folder_of_users_gets_a_folder_of_the_same_replies(here, moshi_zoo):
    code, out, err = moshi_zoo("talk", "users", "--out", "replies", "--json", "words", *OPTIONS)
    assert code == 0, err
    assert sorted(path.name for path in (here / "replies").iterdir()) == ["a.wav", "b.wav"]
    assert sorted(path.name for path in (here / "words").iterdir()) == ["a.json", "b.json"]
    assert "b.flac: " in out
    code, _, err = moshi_zoo("talk", "users/a.wav", "users/b.flac", "--out", "others", *OPTIONS)
    assert code == 0, err
    for name in ("a.wav", "b.wav"):
        assert np.array_equal(audio.read(f"replies/{name}")[0], audio.read(f"others/{name}")[0])


def test_who_names_no_temperatures_talks_at_those_of_the_model(here, moshi_zoo):
    config = read_config(here / "moshi")
    write_config(here / "moshi", replace(config, sampling=Sampling(0.0, 0.0)))
    words = ("talk", "users/a.wav", "--model", "moshi", "--tail", 0.2, "--json", "words.json", "--out", "reply.wav")
    said = []
    for more in ((), ("--seed", 1), ("--seed", 1, "--text-temperature", 1.0)):
        code, _, err = moshi_zoo(*words, *more)
        assert code == 0, err
        said.append((here / "words.json").read_text())
    assert said[0] == said[1] != said[2], "at 0 there is no chance"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("nobody.wav",), "nobody.wav"),
        (("users/a.wav", "--channel", 1), "users/a.wav has 1 channel"),
        (("users/a.wav", "--tail", -1), "--tail is -1"),
        (("users/a.wav", "users/a.wav"), "several recordings are called a"),
        (("moshi",), "moshi has no recordings"),
        (("users/a.wav", "--model", "mimi"), "mimi is a mimi"),
        (("users/a.wav", "--text-temperature", -1), "temperature"),
        (("users/a.wav", "--device", "warp"), "warp"),
    ],
)
def test_mistakes_are_named(here, moshi_zoo, words, problem):
    code, _, err = moshi_zoo("talk", "--out", "reply.wav", *OPTIONS, *words)
    assert code == 2
    assert problem in err
    assert "Traceback" not in err
