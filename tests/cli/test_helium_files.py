"""``import`` and ``export`` of a text language model, with its tokenizer."""

import json

import pytest
import torch

from moshi_zoo import load, registry
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.zoo import folder


@pytest.fixture
def tokenizer():
    return Tokenizer.train(["Good morning. How are you today?", "Two and two are four."] * 20, vocab_size=286)


@pytest.fixture
def tiny(tmp_path, monkeypatch, tokenizer):
    monkeypatch.chdir(tmp_path)
    spec = registry.preset("helium-tiny")
    spec["init_args"] = {**spec["init_args"], "vocab_size": 286}
    net = registry.instantiate(spec).eval()
    portable = registry.to_portable(spec)
    folder.save(tmp_path / "checkpoints/tiny", portable, net.state_dict(), stage="test", tokenizer=tokenizer)
    return net


@pytest.mark.parametrize(("layout", "family"), [("hf", "helium"), ("hf-llama", "llama")])
def test_model_and_tokenizer_come_back_as_they_were(tiny, tokenizer, moshi_zoo, tmp_path, layout, family):
    code, out, err = moshi_zoo("export", "tiny", "--format", layout, "--out", "there")
    assert code == 0, err
    assert out.split() == ["there/model.safetensors", "there/config.json", "there/tokenizer.model", "there/README.md"]
    config = json.loads((tmp_path / "there/config.json").read_text())
    assert config["model_type"] == family
    assert [config[f"{name}_token_id"] for name in ("bos", "eos", "pad")] == [1, 2, 3]
    code, out, err = moshi_zoo("import", "there", "--format", "hf", "--out", "checkpoints/back")
    assert code == 0, err
    assert "helium" in out
    back = load("back")
    assert back.transformer.size == tiny.transformer.size
    weights = tiny.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in back.state_dict().items())
    assert Tokenizer.load("checkpoints/back").model_bytes == tokenizer.model_bytes


def test_a_folder_that_does_not_fit_is_refused_in_one_line(tiny, moshi_zoo, tmp_path):
    moshi_zoo("export", "tiny", "--format", "hf", "--out", "there")
    config = json.loads((tmp_path / "there/config.json").read_text())
    (tmp_path / "there/config.json").write_text(json.dumps({**config, "intermediate_size": 160}))
    code, _, err = moshi_zoo("import", "there", "--format", "hf", "--out", "checkpoints/back")
    assert code == 2
    assert len(err.splitlines()) == 1
    assert "there: " in err
    assert "[176, 64], config.json says [160, 64]" in err
    assert not (tmp_path / "checkpoints/back").exists()


def test_kyutais_layout_is_not_for_text_models(tiny, moshi_zoo):
    code, _, err = moshi_zoo("export", "tiny", "--format", "kyutai", "--out", "there")
    assert code == 2
    assert "a helium as hf or hf-llama" in err
