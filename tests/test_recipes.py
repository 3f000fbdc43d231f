"""Every recipe makes what it names."""

import itertools
import shutil
from functools import cache
from pathlib import Path

import pytest
import soundfile
import torch

from moshi_zoo import registry
from moshi_zoo.__main__ import EXIT_WRONG_USE, main
from moshi_zoo.cli import trainer
from moshi_zoo.training.stage import Stage
from moshi_zoo.zoo import folder
from moshi_zoo.zoo.config import read_config

RECIPES = Path(__file__).parents[1] / "recipes"
CHAINS = sorted(RECIPES.rglob("chain*.yaml"))  # tests/test_chains.py
OVERLAYS = sorted({path for folder in ("with", "ablations") for path in (RECIPES / folder).rglob("*.yaml")} - {*CHAINS})
STAGES = sorted(set(RECIPES.rglob("*.yaml")) - set(OVERLAYS) - set(CHAINS))
ABLATIONS = RECIPES / "ablations/moshi"
NANO = RECIPES / "nano/mimi.yaml"
NANO_TEXT = RECIPES / "nano/helium.yaml"
CPU = RECIPES / "with/cpu.yaml"
FOR_LANGUAGE_MODELS = ("checkpointing", "compile", "ddp", "fsdp")
BASES = dict.fromkeys(FOR_LANGUAGE_MODELS, NANO_TEXT)
BASES |= dict.fromkeys(("ddp_moshi", "nano_moshi", "by_heart"), RECIPES / "nano/moshi.yaml")


def name(path):
    return str(path.relative_to(RECIPES))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_there_are_recipes():
    assert NANO in STAGES
    assert CPU in OVERLAYS


@pytest.mark.parametrize("path", STAGES + OVERLAYS + CHAINS, ids=name)
def test_a_recipe_starts_with_what_it_does_needs_and_leaves(path):
    head = list(itertools.takewhile(lambda line: line.startswith("# "), path.read_text().splitlines()))
    assert len(head) >= 3
    assert any(line.startswith("# Needs: ") for line in head)
    assert any(line.startswith(("# Leaves: ", "# Changes: ")) for line in head)


@pytest.mark.parametrize("path", STAGES, ids=name)
def test_a_recipe_makes_its_stage_and_data(path):
    made = trainer.run(["--config", str(path), "--config", str(CPU)])
    assert isinstance(made.model, Stage)
    made.model.spec  # noqa: B018 - raises if the result could not be published
    with torch.device("meta"):
        made.model.configure_model()
    assert not list(Path().iterdir()), "making things is not running them"


@cache
def _recipe(*words):
    """What comes of the same few recipes again and again."""
    return trainer.run(list(words)).recipe


@pytest.mark.parametrize("path", OVERLAYS, ids=name)
def test_an_overlay_goes_onto_the_nano_recipe(path):
    before = ["--config", str(RECIPES / "nano/moshi.yaml" if path.parent == ABLATIONS else BASES.get(path.stem, NANO))]
    if path.parent == ABLATIONS and path.stem != "short":
        before += ["--config", str(ABLATIONS / "short.yaml")]
    made = trainer.run([*before, "--config", str(path)])
    if path != CPU:  # which the nano recipe has already
        assert made.recipe != _recipe(*before)


@pytest.mark.parametrize("path", sorted(set(STAGES) & set((RECIPES / "moshi").glob("*.yaml"))), ids=name)
def test_a_stage_of_moshi_can_be_of_nano_size(path):
    made = trainer.run(["--config", str(path), "--config", str(RECIPES / "with/nano_moshi.yaml")])
    assert made.datamodule.num_frames == 100


def test_the_nano_codec_learns_a_few_steps_from_a_folder_and_codes_a_file(tmp_path, capsys):
    (tmp_path / "speech").mkdir()
    for i in range(8):
        soundfile.write(tmp_path / f"speech/{i}.wav", (torch.rand(24_000) - 0.5).numpy(), 24_000)
    small = ["--data.source", "speech", "--data.batch_size", "2", "--data.seconds", "0.64"]
    small += ["--data.validation_items", "2", "--data.validation_seconds", "1", "--trainer.max_steps", "2"]
    early = ["--model.quantize_from", "1", "--model.codebook_pool", "1", "--model.discriminator_from", "1"]
    words = ["fit", "--config", NANO, "--config", RECIPES / "with/debug.yaml", "--config", CPU, *small, *early]
    assert main([str(w) for w in words]) == 0, capsys.readouterr().err
    samples = {p.suffix for p in Path("runs/debug/samples").rglob("*.*")}
    assert samples == {".wav", ".png"}
    shutil.copytree("runs/debug/zoo", "checkpoints/codec")
    assert main(["encode", "speech/0.wav", "--model", "codec", "--out", "0.safetensors"]) == 0
    assert main(["decode", "0.safetensors", "--model", "runs/debug", "--out", "0.wav"]) == 0
    assert soundfile.info("0.wav").frames == 24_000


def test_the_nano_language_model_learns_a_few_steps_from_a_text_and_goes_on_with_a_sentence(monkeypatch, capsys):
    monkeypatch.setenv("MOSHI_ZOO_CACHE", "cache")
    Path("text").mkdir()
    Path("text/a.txt").write_text("\n".join(f"The number after {i} is {i + 1}." for i in range(900)))
    small = ["--data.source", "text", "--data.batch_size", "2", "--data.seq_len", "32", "--model.sample_tokens", "4"]
    words = ["fit", "--config", NANO_TEXT, "--config", RECIPES / "with/debug.yaml", "--config", CPU, *small]
    assert main([str(w) for w in words]) == 0, capsys.readouterr().err
    assert list(Path("runs/debug/samples").rglob("*.txt"))
    capsys.readouterr()
    assert main(["generate", "--model", "runs/debug", "--prompt", "The number", "--max-tokens", "4"]) == 0
    assert capsys.readouterr().out.startswith("The number")


@pytest.mark.parametrize("words", [["--model.net", "${preset:mimi-tiny}"], ["--model.net=${preset:mimi-tiny}"]])
def test_a_preset_can_be_given_as_a_flag(words):
    made = trainer.run(["--config", str(NANO), *words])
    assert made.model.spec["init_args"]["dim"] == registry.preset("mimi-tiny")["init_args"]["dim"]


def test_a_net_can_have_the_sizes_of_a_model(tmp_path):
    spec = registry.to_portable(registry.preset("mimi-tiny"))
    folder.save(tmp_path / "checkpoints/mine", spec, registry.build("mimi-tiny").state_dict(), stage="test")
    (tmp_path / "sizes.yaml").write_text("model: {init_args: {net: '${model:mine}'}}\n")
    for words in (["--model.net", "${model:mine}"], ["--config", "sizes.yaml"]):
        made = trainer.run(["--config", str(NANO), *words])
        assert made.model.spec == read_config(tmp_path / "checkpoints/mine").spec
    with pytest.raises(ValueError, match="no model is called 'min'; did you mean mine"):
        trainer.run(["--config", str(NANO), "--model.net", "${model:min}"])


def test_what_a_stage_refuses_is_one_line(capsys):
    assert main(["fit", "--config", str(NANO), "--model.accumulate", "0"]) == EXIT_WRONG_USE
    assert capsys.readouterr().err.strip().splitlines()[-1] == "moshi_zoo fit: accumulate is 0; it must be 1 or more"
