"""A new voice from recordings of a person to a reply in it, as the README tells it, at the smallest size."""

import json
from pathlib import Path

import pytest

from moshi_zoo.data import audio
from moshi_zoo.data.code_store import CodeStore
from moshi_zoo.models.mimi import Mimi
from moshi_zoo.zoo.config import read_config
from tests.cli import conversational
from tests.cli.conftest import moshi_zoo  # noqa: F401 - a fixture
from tests.cli.test_data_revoice import sound
from tests.data.singing import RATE, voice

RECIPES = Path(__file__).parents[1] / "recipes"
SMALL = ["--data.num_frames", 24, "--data.batch_size", 2, "--trainer.max_steps", 2, "--trainer.val_check_interval", 1]
BOLD = ["--model.rates.depth", 0.5, "--model.rates.temporal", 0.5, "--model.schedule.warmup_steps", 1]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A Moshi `base` with its codec, dialogues `talk`, recordings `her`, a `user.wav`; the current folder."""
    monkeypatch.chdir(tmp_path)
    conversational.store(Path("talk"), Path("checkpoints/codec"), count=8)
    conversational.tiny_moshi(Path("checkpoints/base"), Path("checkpoints/codec"))
    Path("her").mkdir()
    for i in range(6):
        audio.save(f"her/{i}.wav", voice(130.0 + i, 1.0, "aiouaeio" * 2)[None], RATE)
    audio.save("user.wav", voice(220.0, 0.2)[None], RATE)
    return tmp_path


def test_recordings_become_a_voice_that_moshi_speaks_with(home, moshi_zoo, monkeypatch):  # noqa: F811
    def run(*words):
        code, out, err = moshi_zoo(*words)
        assert code == 0, err
        return out

    assert "can be used" in run("data", "scan", "her", "--out", "her.jsonl")
    run("data", "replay", "talk", "--model", "base", "--split", "valid", "--keep-voice", "--out", "replay")
    with monkeypatch.context() as patched:
        patched.setattr(Mimi, "decode", sound)  # a codec of random weights says nothing that has a pitch
        run("data", "revoice", "replay", "--voice", "her.jsonl", "--model", "codec", "--out", "new")
    assert len(CodeStore("new").entries) == 8
    recipe = ["--config", RECIPES / "nano/voice.yaml", "--config", RECIPES / "with/cpu.yaml"]
    base = ["--model.net", "${model:base}", "--init_from.net", "base", "--data.source", "new"]
    run("fit", *recipe, *base, *SMALL, *BOLD, "--run_name", "her-voice")

    adapter = read_config(Path("runs/her-voice/zoo"))
    assert adapter.component == "lora"
    assert adapter.parents[0].sha256 == read_config(Path("checkpoints/base")).sha256
    said = []
    for words in ([], ["--voice", "her-voice"]):
        talk = ["talk", "user.wav", "--model", "base", "--tail", 2, "--text-temperature", 1.0, *words]
        run(*talk, "--out", "reply.wav", "--json", "words.json")
        assert audio.probe("reply.wav").sample_rate == 24_000
        said.append(Path("words.json").read_text())
    assert said[0] != said[1]
    run("export", "base", "--adapter", "her-voice", "--format", "kyutai", "--out", "merged.safetensors")
    assert Path("merged.safetensors").stat().st_size > 10_000
    assert json.loads(Path("her.jsonl").read_text().splitlines()[0])["speaker"] == "her"
