"""Transcripts by Whisper, whose place somebody else takes here."""

import sys
from types import SimpleNamespace

import pytest

from moshi_zoo.data.manifest import Recording
from moshi_zoo.data.whisper import transcribed


class FakeModel:
    """Hears the same two words in every file but one."""

    def __init__(self, name, **settings):
        if name == "none":
            raise RuntimeError("no such model")

    def transcribe(self, path, **settings):
        if "broken" in path:
            raise RuntimeError("cannot decode")
        words = [
            SimpleNamespace(word=" Hello", start=0.1, end=0.44444),
            SimpleNamespace(word=" you.", start=0.5, end=1),
        ]
        return iter([SimpleNamespace(words=[] if "silent" in path else words)]), None


@pytest.fixture
def whisper(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_whisper", SimpleNamespace(WhisperModel=FakeModel))


def test_words_get_their_times_and_what_fails_is_said(whisper):
    heard, silent, broken = transcribed(Recording(f"{name}.wav") for name in ("a", "silent", "broken"))
    assert heard.text == "Hello you."
    assert heard.words == [["Hello", 0.1, 0.444], ["you.", 0.5, 1]]
    assert "nobody says a word" in str(silent)
    assert "cannot decode" in str(broken)


def test_a_model_that_is_not_there_and_a_missing_package_are_said(whisper, monkeypatch):
    with pytest.raises(ValueError, match="'none' cannot be loaded"):
        list(transcribed([Recording("a.wav")], "none"))
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(ValueError, match="pip install faster-whisper"):
        list(transcribed([Recording("a.wav")]))
