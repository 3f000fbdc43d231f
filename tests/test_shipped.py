"""The models that ship with the repository: whole, described, small, and of use in a clean clone without a network."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import soundfile
import torch
import yaml

from moshi_zoo import load
from moshi_zoo.__main__ import main
from moshi_zoo.cli import trainer
from moshi_zoo.runtime.pair import find_codec
from moshi_zoo.training.init_from import load_part
from moshi_zoo.zoo import catalogue, folder, licences
from moshi_zoo.zoo.config import read_config
from moshi_zoo.zoo.sampling import Sampling
from tests.zoo.test_catalogue import ROOT

HOME = ROOT / "checkpoints"
SHIPPED = [name for name, entry in catalogue.catalogue().items() if entry.ships and (HOME / name).is_dir()]
VOICES = [name for name in SHIPPED if catalogue.find(name).component == "lora"]
FILES = {"config.yaml", "model.safetensors", "README.md"}
MOST_BYTES = 40_000_000
_A_PLACE = re.compile(r"(?<![\w.:/~-])/\w+/")

needs_them = pytest.mark.skipif(len(SHIPPED) < 3, reason="the models that ship are not all in checkpoints/ yet")


@pytest.fixture
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_all_of_them_together_are_small():
    assert sum(file.stat().st_size for name in SHIPPED for file in (HOME / name).iterdir()) <= MOST_BYTES


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_is_whole_and_what_the_catalogue_says(name):
    entry, config = catalogue.find(name), read_config(HOME / name)
    spoken = {"tokenizer.model"} if config.tokenizer_sha256 else set()
    assert {file.name for file in (HOME / name).iterdir()} == FILES | spoken, "no checkpoints, optimisers, samples"
    folder.verify(HOME / name)
    sums = {"model.safetensors": config.sha256, "tokenizer.model": config.tokenizer_sha256}
    assert {file.name: file.sha256 for file in entry.files} == {n: s for n, s in sums.items() if s}
    for file in entry.files:
        assert (HOME / name / file.name).stat().st_size == file.bytes
    assert (config.component, config.licence) == (entry.component, entry.licence)
    assert {tensor.dtype for tensor in load(HOME / name).state_dict().values() if tensor.is_floating_point()} == {
        torch.float32
    }


@pytest.mark.parametrize("name", SHIPPED)
def test_the_parents_of_a_shipped_model_ship_too(name):
    for parent in read_config(HOME / name).parents:
        assert parent.name in SHIPPED
        assert read_config(HOME / parent.name).sha256 == parent.sha256


@pytest.mark.parametrize("name", SHIPPED)
def test_the_card_of_a_shipped_model_is_complete_and_names_no_place_on_a_machine(name):
    card, config = (HOME / name / "README.md").read_text(), read_config(HOME / name)
    head = yaml.safe_load(card.split("---\n")[1])
    assert licences.from_card(head["license"], head.get("license_name")) == config.licence != licences.UNSPECIFIED
    sections = re.findall("^## (.*)$", card, re.M)
    assert sections == ["Limits", "Data", "Training", "Figures"]
    for words in (
        f"# {name}\n",
        config.sha256,
        " minutes on ",
        "python -m moshi_zoo fit ",
        "python -m moshi_zoo evaluate ",
    ):
        assert words in card
    for parent in config.parents:
        assert f"{parent.name} (`{parent.sha256[:12]}`)" in card
    assert not _A_PLACE.findall(card + (HOME / name / "config.yaml").read_text())


@pytest.mark.parametrize("name", SHIPPED)
def test_git_keeps_a_shipped_model(name):
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git repository")
    ignored = subprocess.run(["git", "check-ignore", "-q", HOME / name / "model.safetensors"], cwd=ROOT, check=False)
    assert ignored.returncode == 1


@needs_them
@pytest.mark.usefixtures("_elsewhere")
def test_the_shipped_models_are_of_use_at_once(capsys):
    def run(*words):
        assert main([str(word) for word in words]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    soundfile.write("x.wav", (0.1 * torch.randn(24_000)).numpy(), 24_000)
    run("encode", "x.wav", "--model", "mimi-nano", "--out", "x.safetensors")
    run("decode", "x.safetensors", "--model", "mimi-nano", "--out", "y.wav")
    assert soundfile.info("y.wav").frames == 24_000
    prompt = "user: what comes after seven?"
    assert run("generate", "--model", "helium-nano", "--prompt", prompt, "--max-tokens", "8").startswith(prompt)
    for voice in [(), *(("--voice", name) for name in VOICES)]:
        run("talk", "x.wav", "--model", "moshi-nano", "--out", "reply.wav", *voice)
        assert soundfile.info("reply.wav").duration >= 1
        Path("reply.wav").unlink()
    assert find_codec("moshi-nano") == HOME / "mimi-nano"
    listed = {Path(row["name"]).name: row["here"] for row in json.loads(run("list", "nano", "--json", "--verify"))}
    assert listed == dict.fromkeys(SHIPPED, "verified")
    about = run("info", "moshi-nano", "--verify")
    assert "verified" in about
    assert "sampling     text temperature 0.3, audio temperature 0.5\n" in about


@needs_them
def test_the_shipped_moshi_is_drawn_from_as_it_was_measured():
    assert read_config(HOME / "moshi-nano").sampling == Sampling(0.3, 0.5)
    commands = re.findall("evaluate duplex .*", (HOME / "moshi-nano/README.md").read_text())
    assert all("--text-temperature 0.3" in command and "--audio-temperature 0.5" in command for command in commands)


@needs_them
@pytest.mark.usefixtures("_elsewhere")
def test_a_voice_can_be_learnt_beside_the_shipped_moshi():
    recipe = ["--config", str(ROOT / "recipes/nano/voice.yaml"), "--init_from.net", "moshi-nano"]
    stage = trainer.run(recipe).model
    stage.configure_model()
    loaded = load_part(stage.net, "net", "moshi-nano", stage.may_start_new, stage.adapted)
    assert loaded.missing, "the adapters start new"
    assert all(stage.may_start_new(name) for name in loaded.missing)
