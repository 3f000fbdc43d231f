"""The verb `transcribe`."""

import io
import json
import re
import sys

import pytest
import soundfile
import torch
import yaml

from moshi_zoo.cli.live_audio import piped_frames
from moshi_zoo.cli.transcript_formats import FORMATS
from moshi_zoo.data import audio
from moshi_zoo.runtime.words import SpokenWord
from tests.runtime.pairs import save_pair


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a pair and a recording."""
    save_pair(tmp_path)
    monkeypatch.chdir(tmp_path)
    audio.save(tmp_path / "user.wav", torch.randn(1, 12_000, generator=torch.Generator().manual_seed(0)) * 0.1, 24_000)
    return tmp_path


OPTIONS = ("--model", "moshi", "--temperature", 1.0, "--text-delay", 0.16)


@pytest.fixture
def pipe(monkeypatch):
    """Puts bytes into standard input."""

    def put(data):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return put


def test_a_file_and_the_same_sound_through_a_pipe_give_the_same_words(here, moshi_zoo, pipe):
    code, out, err = moshi_zoo("transcribe", "user.wav", *OPTIONS, "--format", "jsonl")
    assert code == 0, err
    words = [json.loads(line) for line in out.splitlines()]
    assert words
    assert words[0]["start_s"] == pytest.approx(words[0]["frame"] / 12.5 - 0.16)
    wav = (here / "user.wav").read_bytes()
    assert moshi_zoo("transcribe", "user.wav", *OPTIONS, "--out", "new/words.txt")[0] == 0
    text = (here / "new" / "words.txt").read_text()
    assert text.split() == " ".join(word["text"] for word in words).split()
    for data in (wav, wav[44:]):  # with a header, and without
        pipe(data)
        code, piped, err = moshi_zoo("transcribe", "-", *OPTIONS)
        assert code == 0, err
        assert piped == text


def test_the_delay_is_that_of_the_models_training_if_none_is_given(here, moshi_zoo):
    config = yaml.safe_load((here / "moshi/config.yaml").read_text())
    layout = {"text_layout": {"of": "moshi", "delays_s": {"asr": -0.16}}}
    (here / "moshi/config.yaml").write_text(yaml.safe_dump({**config, **layout}))
    options = ("--model", "moshi", "--temperature", 1.0, "--format", "jsonl")
    given, learnt = (moshi_zoo("transcribe", "user.wav", *options, *o)[1] for o in (("--text-delay", 0.16), ()))
    assert given == learnt
    assert given
    code, _, err = moshi_zoo("transcribe", "user.wav", *options, "--mode", "duplex")
    assert code == 2
    assert "does not write down what it hears while it talks" in err


def test_a_microphone_without_its_package_says_what_to_install(here, moshi_zoo, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    code, _, err = moshi_zoo("transcribe", "--microphone", *OPTIONS)
    assert code == 2
    assert "pip install sounddevice" in err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ((), "give one of a recording"),
        (("user.wav", "--microphone"), "give one of a recording"),
        (("nobody.wav",), "nobody.wav"),
        (("user.wav", "--text-delay", -1), "must not be negative"),
        (("user.wav", "--format", "pdf"), "'pdf' is not text or jsonl or srt"),
        (("user.wav", "--mode", "tts"), "'tts' is not asr or duplex"),
    ],
)
def test_mistakes_are_named(here, moshi_zoo, words, problem):
    code, _, err = moshi_zoo("transcribe", *OPTIONS, *words)
    assert code == 2
    assert problem in err
    assert "Traceback" not in err


def wav_bytes(sound, rate, subtype):
    file = io.BytesIO()
    soundfile.write(file, sound.T.numpy(), rate, subtype=subtype, format="WAV")
    return file.getvalue()


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_32", "FLOAT"])
def test_wav_through_a_pipe_is_resampled_and_mixed_as_from_a_file(tmp_path, subtype):
    sound = torch.randn(2, 30_000, generator=torch.Generator().manual_seed(1)).cumsum(1)
    sound = sound / sound.abs().max() / 2
    data = wav_bytes(sound, 44_100, subtype)
    frames = list(piped_frames(io.BytesIO(data), 24_000, 1920, raw_rate=24_000))
    (tmp_path / "a.wav").write_bytes(data)
    expected = audio.load(tmp_path / "a.wav", 24_000, channels=1)[0]
    assert {len(frame) for frame in frames} == {1920}
    joined = torch.cat([torch.from_numpy(frame) for frame in frames])
    torch.testing.assert_close(joined[: len(expected)], expected, atol=1e-4, rtol=0)
    assert joined[len(expected) :].abs().max() < 1e-3


def test_a_pipe_gives_frames_before_its_end_and_refuses_what_it_cannot_read():
    class Endless(io.BytesIO):
        def read(self, size=-1):
            return b"\0" * size

    assert len(next(piped_frames(Endless(), 24_000, 1920, raw_rate=24_000))) == 1920
    data = wav_bytes(torch.zeros(1, 100), 8000, "PCM_24")
    for broken, problem in [(data, "16 bits, 32 bits"), (data[:20], "ends in its header")]:
        with pytest.raises(ValueError, match=problem):
            next(piped_frames(io.BytesIO(broken), 24_000, 1920, raw_rate=24_000))


def written(kind, times):
    target = io.StringIO()
    writer = FORMATS[kind](target)
    for i, time in enumerate(times):
        writer.add(SpokenWord(f"word{i}", time, 0, (4,)))
    writer.end()
    return target.getvalue()


def test_silence_begins_a_new_line_and_a_new_subtitle():
    times = [0.5, 0.9, 1.3, 5.0, 3661.25]
    assert written("text", times) == "word0 word1 word2\nword3\nword4\n"
    subtitles = written("srt", times).split("\n\n")
    assert subtitles[0] == "1\n00:00:00,500 --> 00:00:01,900\nword0 word1 word2"
    assert subtitles[2] == "3\n01:01:01,250 --> 01:01:01,850\nword4"


def test_subtitles_are_short_and_do_not_overlap():
    cues = re.findall(r"--> (\S+)\n(.*)", written("srt", [0.3 * i for i in range(60)]))
    assert len(cues) > 5
    assert all(len(text) <= 42 for _, text in cues)
    assert [end for end, _ in cues] == sorted(end for end, _ in cues)
