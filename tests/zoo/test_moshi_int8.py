"""Moshi's int8 release."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from moshi_zoo import registry
from moshi_zoo.zoo.convert import export_weights, import_weights

SPEC = registry.to_portable(registry.complete(registry.preset("moshi-tiny")))


@pytest.fixture
def released(tmp_path):
    """A random Moshi as Kyutai releases it in 8 bits, and its weights as they were."""
    before = registry.build("moshi-tiny").bfloat16().state_dict()
    export_weights(SPEC, before, "kyutai", tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "model.q8.safetensors")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "quantize": True}))
    tensors = {}
    for name, tensor in load_file(tmp_path / "model.q8.safetensors").items():
        if tensor.ndim == 2 and "emb" not in name:
            scale = tensor.float().abs().amax(1)
            tensors |= {name: (tensor.float() * 127 / scale[:, None]).round().to(torch.int8), f"{name}_scb": scale}
        else:
            tensors[name] = tensor
    save_file(tensors, tmp_path / "model.q8.safetensors")
    return tmp_path, before


def edit(folder, **changes):
    file = folder / "model.q8.safetensors"
    tensors = {**load_file(file), **{name.replace("__", "."): tensor for name, tensor in changes.items()}}
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, file)


def test_products_come_back_within_half_a_step_of_their_row(released):
    folder, before = released
    spec, after = import_weights(folder, "kyutai", preset="moshi-tiny")
    assert registry.to_portable(registry.complete(registry.from_portable(spec))) == SPEC
    assert after.keys() == before.keys()
    assert all(tensor.dtype == torch.bfloat16 for tensor in after.values())
    for name, tensor in before.items():
        step = tensor.float().abs().amax(-1, keepdim=True) / 127
        assert ((after[name].float() - tensor.float()).abs() <= 1.1 * step).all(), name
    assert torch.equal(after["audio_embedding.weight"], before["audio_embedding.weight"]), "not quantized"
    assert not torch.equal(after["temporal.output.weight"], before["temporal.output.weight"])


def test_scales_that_do_not_fit_are_refused(released):
    folder, _ = released
    edit(folder, text_linear__weight_scb=torch.ones(3))
    with pytest.raises(ValueError, match=r"q8\.safetensors: text_linear\.weight_scb has shape \[3\].*\[256, 64\]"):
        import_weights(folder, "kyutai", preset="moshi-tiny")
    edit(folder, text_linear__weight_scb=torch.ones(256), text_linear__weight=None)
    with pytest.raises(
        ValueError, match=r"text_linear\.weight_scb is the scale of text_linear\.weight, which is missing"
    ):
        import_weights(folder, "kyutai", preset="moshi-tiny")


def test_a_product_without_its_scale_is_refused(released):
    folder, _ = released
    edit(folder, text_linear__weight_scb=None)
    with pytest.raises(ValueError, match=r"text_linear\.weight is torch\.int8"):
        import_weights(folder, "kyutai", preset="moshi-tiny")
