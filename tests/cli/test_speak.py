"""The verb `speak`."""

import io
import json
import sys

import pytest

from moshi_zoo.data import audio
from tests.runtime.pairs import save_pair


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a pair."""
    save_pair(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_text_is_read_from_anywhere_to_the_same_file(here, moshi_zoo, monkeypatch):
    code, out, err = moshi_zoo(
        "speak", "one two", "--model", "moshi", "--out", "new/a.wav", "--json", "a.json", "--max-pause", 0.16
    )
    assert code == 0, err
    assert "x real time" in err
    wav, rate = audio.read("new/a.wav")
    assert out == f"new/a.wav: {wav.shape[1] / rate:.1f} s\n"
    words = json.loads((here / "a.json").read_text())
    assert [word["text"] for word in words] == ["one", "two"]
    assert words[-1]["start_s"] < wav.shape[1] / rate
    (here / "text").write_text("moshi: one two\nuser: hm?\n")
    options = ("--model", "moshi", "--max-pause", 0.16)
    assert moshi_zoo("speak", "--file", "text", "--out", "b.wav", *options)[0] == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("one two\n"))
    assert moshi_zoo("speak", "--out", "c.wav", *options)[0] == 0
    for name in ("b.wav", "c.wav"):
        assert (audio.read(name)[0] == wav).all()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("hello", "--file", "x"), "exclude each other"),
        ((" ",), "nothing to read"),
        (("--file", "nothing.txt"), "nothing.txt"),
        (("hello", "--max-pause", -1), "must not be negative"),
        (("hello", "--out", "a.xyz"), ".xyz"),
    ],
)
def test_mistakes_are_named_and_leave_no_file(here, moshi_zoo, words, problem):
    code, _, err = moshi_zoo("speak", "--model", "moshi", "--out", "a.wav", *words)
    assert code == 2
    assert problem in err
    assert "Traceback" not in err
    assert not list(here.glob("a.*"))
