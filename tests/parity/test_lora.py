"""Adapters of Moshi against those of PyPI `moshi`: random weights, converted both ways, compared."""

import json
import os

os.environ.setdefault("NO_TORCH_COMPILE", "1")  # read when moshi is imported; a compiler would take half a minute

import pytest
import torch
from safetensors.torch import load_file, save_file

from moshi_zoo import registry
from moshi_zoo.models.conversation import GREEDY
from moshi_zoo.modules.lora import (
    LoraSize,
    adapter_state_dict,
    add_adapter,
    attach_adapter,
    remove_adapters,
    use_adapter,
)
from moshi_zoo.zoo import adapters
from moshi_zoo.zoo.convert import export_weights, import_weights
from tests.parity.test_moshi import SPECS, random_codes, random_moshi

pytestmark = pytest.mark.parity


@pytest.fixture
def loaders():
    return pytest.importorskip("moshi.models.loaders", reason="PyPI moshi is not installed")


def arguments(config):
    """Of config.json, as CheckpointInfo reads it."""
    return {key: value for key, value in json.loads(config.read_text()).items() if key not in NOT_THE_MODELS}


NOT_THE_MODELS = ("model_type", "moshi_name", "lora_name")


def adapted(portable, size):
    net = random_moshi(portable)
    add_adapter(net, size)
    with torch.no_grad():
        for tensor in adapter_state_dict(net).values():
            tensor.normal_(std=0.2)
    return net


@torch.no_grad()
def check_logits(ours, theirs):
    codes = random_codes(ours, 20)
    found, expected = ours(codes), theirs(codes)
    for logits, theirs_, mask in [
        (found.text_logits, expected.text_logits[:, 0], found.text_mask),
        (found.audio_logits, expected.logits, found.audio_mask),
    ]:
        torch.testing.assert_close(logits[mask], theirs_[mask], atol=1e-4, rtol=0)


SIZES = [LoraSize(temporal=3, depth=3, heads=3, scaling=0.7), LoraSize(temporal=2, depth=4)]


@pytest.mark.parametrize("size", SIZES, ids=["one rank", "several ranks"])
@pytest.mark.parametrize("layout", ["kyutai", "kyutai-packed"])
@pytest.mark.parametrize("name", SPECS)
def test_our_adapters_run_there(loaders, tmp_path, name, layout, size):
    net, portable = adapted(SPECS[name], size), SPECS[name]
    weights = {key: tensor for key, tensor in net.state_dict().items() if ".lora_" not in key}
    model, _ = export_weights(portable, weights, "kyutai", tmp_path / "model")
    spec = adapters.adapter_spec(portable, size)
    lora, config = export_weights(spec, adapter_state_dict(net), layout, tmp_path / "lora")
    for fuse in (False, True):
        more = {"lora_weights": lora, "fuse_lora": fuse}
        check_logits(net, loaders.get_moshi_lm(model, arguments(config), dtype=torch.float32, **more))
    merged = use_adapter(net, "default", merged=True) or remove_adapters(net) or net
    whole, config = export_weights(portable, merged.state_dict(), "kyutai", tmp_path / "merged")
    check_logits(net, loaders.get_moshi_lm(whole, arguments(config), dtype=torch.float32))


@pytest.mark.parametrize("name", SPECS)
def test_their_adapters_run_here(loaders, tmp_path, name):
    from moshi.modules.lora import replace_all_linear_with_lora

    ours, portable = random_moshi(SPECS[name]), SPECS[name]
    model, config = export_weights(portable, ours.state_dict(), "kyutai", tmp_path / "model")
    theirs = loaders.get_moshi_lm(model, arguments(config), dtype=torch.float32)
    replace_all_linear_with_lora(theirs, 5, 1.5)
    written = {key: x.contiguous() for key, x in theirs.state_dict().items() if ".lora_" in key}
    save_file(written, tmp_path / "lora.safetensors")  # as moshi-finetune does
    (tmp_path / "config.json").write_text(json.dumps(arguments(config) | RANK_5))
    spec, tensors = import_weights(tmp_path / "lora.safetensors", "kyutai", base=portable)
    lora = registry.instantiate(registry.from_portable(spec))
    lora.load_state_dict(tensors)
    attach_adapter(ours, lora.adapters())
    check_logits(ours, theirs)
    again, _ = export_weights(spec, tensors, "kyutai", tmp_path / "again")
    assert load_file(again).keys() == written.keys()
    assert all(torch.equal(tensor, written[key]) for key, tensor in load_file(again).items())


RANK_5 = {"lora": True, "lora_rank": 5, "lora_scaling": 1.5}


@torch.no_grad()
def test_conversations_with_an_adapter_equal(loaders, tmp_path):
    from moshi.models import LMGen

    net, portable = adapted(SPECS["shared"], SIZES[0]), SPECS["shared"]
    weights = {key: tensor for key, tensor in net.state_dict().items() if ".lora_" not in key}
    model, _ = export_weights(portable, weights, "kyutai", tmp_path / "model")
    spec = adapters.adapter_spec(portable, SIZES[0])
    lora, config = export_weights(spec, adapter_state_dict(net), "kyutai", tmp_path / "lora")
    theirs = loaders.get_moshi_lm(model, arguments(config), dtype=torch.float32, lora_weights=lora)
    user = random_codes(net, 40).clamp(min=0)[:, 1 : 1 + net.num_user_codebooks]
    state, generator, num_compared = net.init_state(2), LMGen(theirs, use_sampling=False), 0
    with generator.streaming(2):
        for frame in user.split(1, dim=-1):
            expected = generator.step(frame)
            _, own = net.step(frame, state, GREEDY)
            if own is not None and expected is not None:
                assert torch.equal(own, expected[:, 1 : 1 + net.num_own_codebooks])
                num_compared += 1
    assert num_compared > 30
