"""Adapters as zoo folders, and the model that each belongs to."""

import copy
import shutil

import pytest
import torch

import moshi_zoo
from moshi_zoo import registry
from moshi_zoo.modules.lora import (
    LoraSize,
    adapter_names,
    adapter_state_dict,
    add_adapter,
    remove_adapters,
    use_adapter,
)
from moshi_zoo.zoo import adapters, folder
from moshi_zoo.zoo.config import Parent, read_config

SPEC = registry.to_portable(registry.preset("moshi-tiny"))
SIZE = LoraSize(temporal=2, depth=3, scaling=1.5)


@pytest.fixture(scope="module")
def saved_once(tmp_path_factory):
    path, net = tmp_path_factory.mktemp("saved"), registry.build("moshi-tiny").eval()
    base = folder.save(path / "base", SPEC, net.state_dict(), stage="test")
    add_adapter(net, SIZE)
    with torch.no_grad():
        for tensor in adapter_state_dict(net).values():
            tensor.normal_(std=0.1)
    save_adapter(path / "voice", net, [Parent("base", base.sha256)])
    return path, net


@pytest.fixture
def saved(saved_once, tmp_path, monkeypatch):
    """The folders of a model and of its adapter, and the adapted network."""
    path, net = saved_once
    monkeypatch.chdir(shutil.copytree(path, tmp_path / "models"))
    return tmp_path / "models/base", tmp_path / "models/voice", copy.deepcopy(net)


def save_adapter(path, net, parents):
    folder.save(path, adapters.adapter_spec(SPEC, SIZE), adapter_state_dict(net), stage="test", parents=parents)


@torch.no_grad()
def logits(net):
    output = net(torch.arange(54).view(1, 9, 6) % 32)
    return torch.cat([output.text_logits.flatten(), output.audio_logits.flatten()])


def test_an_adapter_comes_back_as_it_was(saved):
    base, voice, net = saved
    assert (voice / "model.safetensors").stat().st_size < (base / "model.safetensors").stat().st_size / 4
    back = moshi_zoo.load("base", adapter="voice")
    assert not back.training
    assert torch.equal(logits(back), logits(net))
    assert not torch.equal(logits(back), logits(moshi_zoo.load("base")))
    tensors = adapter_state_dict(net)
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in adapter_state_dict(back).items())
    folder.verify(voice)


def test_its_config_says_what_it_is(saved):
    base, voice, _ = saved
    config = read_config(voice)
    assert config.component == "lora"
    assert config.init_args["size"] == {"temporal": 2, "depth": 3, "heads": 0, "scaling": 1.5}
    assert config.init_args["base"]["component"] == "moshi"
    assert config.parents == (Parent("base", read_config(base).sha256),)
    assert 'moshi_zoo.load("base", adapter="path/to/voice")' in (voice / "README.md").read_text()


def test_several_adapters_stand_beside_one_model(saved):
    base, voice, net = saved
    other = folder.load(base)
    add_adapter(other, SIZE)
    save_adapter(base.parent / "other", other, [Parent("base", read_config(base).sha256)])
    for path in (voice, base.parent / "other"):
        adapters.load_adapter(other, path, base=base, name=path.name)
    use_adapter(other, "voice")
    assert adapter_names(other) == ["default", "other", "voice"]
    assert torch.equal(logits(other), logits(net))


def test_a_model_takes_an_adapter_in_its_own_dtype(saved):
    base, voice, _ = saved
    net = folder.load(base).bfloat16()
    adapters.load_adapter(net, voice, base=base)
    assert {tensor.dtype for tensor in net.state_dict().values() if tensor.is_floating_point()} == {torch.bfloat16}


def test_merged_weights_are_those_of_the_adapted_network(saved):
    base, voice, net = saved
    merged = adapters.merged_weights(base, voice)
    use_adapter(net, "default", merged=True)
    remove_adapters(net)
    tensors = net.state_dict()
    assert merged.keys() == tensors.keys()
    assert all(torch.equal(tensor, merged[name]) for name, tensor in tensors.items())


def test_an_adapter_of_another_model_is_refused(saved):
    base, voice, net = saved
    torch.manual_seed(99)  # that of each test may have made the base, too
    weights = registry.build("moshi-tiny").state_dict()
    other = folder.save(base.parent / "stranger", SPEC, weights, stage="test")
    both = f"{read_config(base).sha256[:12]}.*{other.sha256[:12]}"
    with pytest.raises(ValueError, match=f"voice adapts base with the sha256 {both}"):
        moshi_zoo.load("stranger", adapter="voice")
    with pytest.raises(ValueError, match=both):
        adapters.merged_weights(base.parent / "stranger", voice)
    with pytest.raises(ValueError, match="stranger is a moshi, which is no adapter"):
        moshi_zoo.load("base", adapter="stranger")
    save_adapter(voice, net, [])
    with pytest.raises(ValueError, match="names no parent"):
        moshi_zoo.load("base", adapter="voice")


def test_tensors_of_another_size_are_refused(saved):
    _, voice, net = saved
    spec = adapters.adapter_spec(SPEC, LoraSize(temporal=2, depth=4))
    with pytest.raises(ValueError, match=r"depth\.in_proj\.down has shape \[4, 3, 64\], its config says \[4, 4, 64\]"):
        folder.save(voice, spec, adapter_state_dict(net), stage="test")
    assert torch.equal(logits(moshi_zoo.load("base", adapter="voice")), logits(net))  # the old one is still there
