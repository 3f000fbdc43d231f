"""``evaluate duplex``, ``asr`` and ``tts``, with a Moshi, a codec and a listener of random weights."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from moshi_zoo.data import audio
from moshi_zoo.evaluation import duplex_conversations, listener_training
from moshi_zoo.evaluation.listener import Listener
from moshi_zoo.runtime.talk import Reply
from moshi_zoo.runtime.words import SpokenWord
from moshi_zoo.zoo.config import read_config, write_config
from moshi_zoo.zoo.sampling import Sampling
from tests.cli import conversational
from tests.cli.codecs import tiny_codec


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder to run in, with the model ``tiny``, its codec, another codec, and a store of dialogues."""
    monkeypatch.chdir(tmp_path)
    tiny_codec(Path("checkpoints/codec"))
    tiny_codec(Path("checkpoints/other"), seed=1)
    conversational.tiny_moshi(Path("checkpoints/tiny"), Path("checkpoints/codec"))
    conversational.store(Path("store"), Path("checkpoints/codec"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        listener = Listener(["nine", "two"], width=16, dilations=(1,)).eval()
    monkeypatch.setattr(listener_training, "cached_listener", lambda tell: listener)
    return tmp_path


def results(suite):
    return json.loads(Path(f"runs/evaluations/tiny/{suite}/results.json").read_text())


def test_conversations_are_measured_heard_and_seen(home, moshi_zoo):
    code, out, err = moshi_zoo("evaluate", "duplex", "--model", "tiny", "--data", "store", "--extra-seconds", 1)
    assert code == 0, err
    assert "| answers right ↑" in out
    found = results("duplex")
    assert {group["name"]: group["conversations"] for group in found["groups"]} == {"all": 4, "echo": 3, "silence": 1}
    written = {figure["name"]: figure["value"] for figure in found["groups"][0]["as_written"]}
    assert written["answers_right"] == 1
    names = {figure["name"] for figure in found["groups"][0]["figures"]}
    assert names >= {
        "answers_right",
        "answers_heard_right",
        "answer_words_heard",
        "talk_over",
        "waits",
        "windows_silence",
    }
    assert len(found["conversations"]) == 4
    out_folder = Path("runs/evaluations/tiny/duplex")
    wavs, pictures = sorted(out_folder.glob("*.wav")), {path.name for path in out_folder.glob("*.png")}
    assert len(wavs) == 4
    assert pictures >= {"answers.png", *(wav.with_suffix(".png").name for wav in wavs)}
    wav, rate = audio.read(wavs[0])
    assert wav.shape == (2, (conversational.FRAMES + 12) * rate * 2 // 25)


def test_conversations_are_drawn_as_the_model_says_unless_the_user_says_otherwise(home, moshi_zoo):
    config = read_config(Path("checkpoints/tiny"))
    write_config(Path("checkpoints/tiny"), replace(config, sampling=Sampling(0.3, 0.5)))
    words = ["evaluate", "duplex", "--model", "tiny", "--data", "store", "--measure", "text", "--limit", 1]
    for more, expected in (([], (0.3, 0.5)), (["--text-temperature", 0], (0, 0.5))):
        code, _, err = moshi_zoo(*words, *more)
        assert code == 0, err
        talk = results("duplex")["settings"]["talk"]
        assert (talk["text_temperature"], talk["audio_temperature"]) == expected


def test_what_is_written_down_of_the_user_is_measured_if_anything_is(home, moshi_zoo, monkeypatch):
    def hear(rows, users, **_):
        """One of the two words that most users say (up to 0.8 s and 1.1 s), and Moshi's own."""
        two = [SpokenWord("two", 0.7, 12, (8, 9), "user"), SpokenWord("nine", 1.8, 23, (7,))]
        codes = [torch.zeros(4, user.shape[1], dtype=torch.int64) for user in users]
        return [Reply(torch.full((c.shape[1],), 3), c, None, two) for c in codes]

    for replies in (duplex_conversations.talk, hear):
        monkeypatch.setattr(duplex_conversations, "talk", replies)
        code, out, err = moshi_zoo("evaluate", "duplex", "--model", "tiny", "--data", "store", "--text-temperature", 0)
        assert code == 0, err
        found = results("duplex")
        figures = {figure["name"]: figure["value"] for figure in found["groups"][0]["figures"]}
        heard = [talk["heard"] for talk in found["conversations"] if "heard" in talk]
        if replies is hear:
            assert heard == ["two"] * 4
            assert figures["heard_word_error_rate"] == 0.5
            assert figures["heard_delay_median"] == pytest.approx(13 / 12.5 - 0.8)
            assert {talk["said"][0][0] for talk in found["conversations"]} == {"nine"}
            assert "user's words written down: word error rate ↓" in out
        else:  # the likeliest tokens of this model are never the mark
            assert not heard
            assert not any(name.startswith("heard_") for name in figures)


def test_the_same_seed_has_the_same_conversations_whoever_is_in_the_batch(home, moshi_zoo):
    said = []
    for words in (["--batch-size", 4], ["--batch-size", 1], ["--batch-size", 4, "--seed", 1]):
        options = ["--data", "store", "--measure", "text", "--text-temperature", 2, *words]
        code, _, err = moshi_zoo("evaluate", "duplex", "--model", "tiny", *options)
        assert code == 0, err
        said.append({row["name"]: row["said"] for row in results("duplex")["conversations"]})
    assert said[0] == said[1] != said[2]
    assert len(set(map(str, said[0].values()))) > 1


def test_what_is_written_down_is_measured_by_voice(home, moshi_zoo):
    code, out, err = moshi_zoo("evaluate", "asr", "--model", "tiny", "--data", "store", "--batch-size", 2)
    assert code == 0, err
    found = results("asr")
    groups = {group["name"]: group["figures"] for group in found["groups"]}
    assert groups.keys() == {"all", "voice 0", "voice 1"}
    assert {figure["name"] for figure in groups["all"]} >= {"word_error_rate", "digit_error_rate"}
    assert [row["said"] for row in found["recordings"]] == ["two nine"] * 3  # the silent user is not heard
    assert "word error rate ↓" in out


def test_what_is_read_aloud_is_heard(home, moshi_zoo):
    words = ["--data", "store", "--padding-bonuses", "0,2"]
    code, _, err = moshi_zoo("evaluate", "tts", "--model", "tiny", *words)
    assert code == 0, err
    found = results("tts")
    assert [row["text"] for row in found["texts"]] == ["two nine"]
    assert {figure["name"] for figure in found["as_written"]} >= {"words_heard", "digits_heard"}
    assert found["texts"][0]["seconds_a_word"].keys() == {"0.0", "2.0"}
    assert Path("runs/evaluations/tiny/tts/0.wav").is_file()


def test_wrong_use_is_refused_with_the_reason_and_leaves_nothing(home, moshi_zoo):
    cases = [
        (["duplex", "--codec", "other"], "was made by another codec"),
        (["duplex", "--limit", "0"], "limit is 0"),
        (["duplex", "--split", "train"], "no dialogue of two channels with the split 'train'"),
        (["duplex", "--batch-size", "0"], "batch_size (0)"),
        (["asr", "--model", "codec"], "codec is a mimi, which is no speech language model"),
        (["asr", "--data", "nowhere"], "nowhere is no store of codes"),
        (["tts", "--padding-bonuses", "a"], "give numbers such as 0,1,2"),
    ]
    for (suite, *words), message in cases:
        code, _, err = moshi_zoo("evaluate", suite, "--model", "tiny", "--data", "store", *words)
        assert code == 2, (suite, words, err)
        assert message in err, words
        assert "Traceback" not in err
    assert not Path("runs").exists()
