"""Moshi's files in Kyutai's layout: what is written, what is read, and what is refused."""

import json
from collections import Counter

import pytest
import torch
from safetensors.torch import load_file, save_file

from moshi_zoo import registry
from moshi_zoo.zoo import moshi_config, moshi_format
from moshi_zoo.zoo.convert import export_weights, import_weights


def complete(name):
    return registry.to_portable(registry.complete(registry.preset(name)))


SPEC = complete("moshi-tiny")


@pytest.fixture
def exported(tmp_path):
    export_weights(SPEC, registry.build("moshi-tiny").state_dict(), "kyutai", tmp_path)
    return tmp_path


def edit_config(folder, **changes):
    file = folder / "config.json"
    config = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))


def test_a_model_comes_back_bit_for_bit(tmp_path):
    before = registry.build("moshi-tiny").bfloat16().state_dict()
    export_weights(SPEC, before, "kyutai", tmp_path)
    spec, after = import_weights(tmp_path, "kyutai")
    assert registry.to_portable(registry.complete(registry.from_portable(spec))) == SPEC
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(tensor.dtype == torch.bfloat16 for tensor in after.values())


def test_the_released_layout_has_its_tensors():
    spec = complete("moshi-7b")
    with torch.device("meta"):
        model = registry.build("moshi-7b").bfloat16()
    tensors = moshi_format.to_kyutai(model.state_dict(), spec)
    assert len(tensors) == 355
    assert sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) == 15_375_458_304
    shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
    expected = {
        "text_emb.weight": [32001, 4096],
        "emb.15.weight": [2049, 4096],
        "transformer.layers.31.self_attn.in_proj_weight": [12288, 4096],
        "transformer.layers.0.self_attn.out_proj.weight": [4096, 4096],
        "transformer.layers.0.norm1.alpha": [1, 1, 4096],
        "transformer.layers.0.gating.linear_in.weight": [22528, 4096],
        "transformer.layers.0.gating.linear_out.weight": [4096, 11264],
        "out_norm.alpha": [1, 1, 4096],
        "text_linear.weight": [32000, 4096],
        "depformer_in.7.weight": [1024, 4096],
        "depformer_text_emb.weight": [32001, 1024],
        "depformer_emb.6.weight": [2049, 1024],
        "depformer.layers.5.self_attn.in_proj_weight": [24576, 1024],
        "depformer.layers.5.self_attn.out_proj.weight": [8192, 1024],
        "depformer.layers.5.norm2.alpha": [1, 1, 1024],
        "depformer.layers.5.gating.7.linear_in.weight": [5632, 1024],
        "depformer.layers.5.gating.7.linear_out.weight": [1024, 2816],
        "linears.7.weight": [2048, 1024],
    }
    assert {name: shapes.get(name) for name in expected} == expected
    kinds = Counter(name.split(".")[0] for name in tensors)
    assert kinds == {
        "text_emb": 1,
        "emb": 16,
        "transformer": 192,
        "out_norm": 1,
        "text_linear": 1,
        "depformer_in": 8,
        "depformer_text_emb": 1,
        "depformer_emb": 7,
        "depformer": 120,
        "linears": 8,
    }


def test_sizes_of_the_releases_come_back():
    for name in ("moshi-7b", "moshi-base", "moshi-nano"):
        config = moshi_config.kyutai_config(complete(name))
        spec = moshi_config.spec_from_kyutai(config)
        assert registry.to_portable(registry.complete(registry.from_portable(spec))) == complete(name)
    released = moshi_config.kyutai_config(complete("moshi-7b"))
    assert (released["hidden_scale"], released["depformer_dim_feedforward"]) == (4.125, 4224)
    assert released["delays"] == [0, 0, *[1] * 7, 0, *[1] * 7]
    assert (released["n_q"], released["dep_q"]) == (16, 8)


def test_without_a_config_the_preset_says_the_sizes(exported):
    (exported / "config.json").unlink()
    spec, tensors = import_weights(exported / "model.safetensors", "kyutai", preset="moshi-tiny")
    registry.instantiate(registry.from_portable(spec)).load_state_dict(tensors, strict=True)
    with pytest.raises(ValueError, match="the tensors do not fit"):
        import_weights(exported / "model.safetensors", "kyutai")  # of the released size


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": 10**9}, "dim 1000000000; it must be a whole number from 1 to 131072"),
        ({"num_layers": True}, "num_layers True"),
        ({"card": ...}, "card None"),
        ({"delays": [0, 1]}, "2 delays for 9 rows"),
        ({"delays": [0, "1"]}, "must be a list of whole numbers"),
        ({"dep_q": 9}, "dep_q 9, but there are only n_q 8"),
        ({"norm": "layer_norm"}, "norm 'layer_norm', but this project's Moshi has 'rms_norm_f32'"),
        ({"gating": ...}, "gating 'none', but"),
        ({"cross_attention": True}, "cross_attention True"),
        ({"demux_second_stream": True}, "demux_second_stream True"),
        ({"conditioners": {"a": {}}}, "conditioners"),
        ({"quantize": True}, "quantize True"),
        ({"max_period": "long"}, "max_period 'long'; it must be a positive number"),
        ({"num_layers": 3}, "transformer.layers.2.*is missing"),
        ({"hidden_scale": 5}, r"gating.linear_in.weight has shape \[352, 64\], config.json says \[426, 64\]"),
        ({"depformer_weights_per_step_schedule": [0, 1]}, "weights of 2 steps, but there are 8"),
    ],
)
def test_a_config_that_cannot_be_is_refused(exported, changes, message):
    edit_config(exported, **changes)
    with pytest.raises(ValueError, match=message) as error:
        import_weights(exported, "kyutai")
    assert str(exported) in str(error.value)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("linears.1.weight", None, "linears.1.weight is missing"),
        ("emb.8.weight", torch.zeros(33, 64), "emb.8.weight is unknown"),
        ("out_norm.alpha", torch.zeros(64), r"out_norm.alpha has shape \[64\], config.json says \[1, 1, 64\]"),
        ("out_norm.alpha", torch.zeros(1, 1, 64, dtype=torch.int8), "out_norm.alpha is torch.int8"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(exported, name, tensor, message):
    tensors = {**load_file(exported / "model.safetensors"), name: tensor}
    save_file({key: value for key, value in tensors.items() if value is not None}, exported / "model.safetensors")
    with pytest.raises(ValueError, match=message):
        import_weights(exported, "kyutai")


def test_what_the_layout_cannot_hold_is_refused(tmp_path):
    tensors = registry.build("moshi-tiny").state_dict()
    args = SPEC["init_args"]
    for part, changes, message in [
        ("transformer", {"norm_eps": 1e-5}, "norm_eps is 1e-05; Kyutai's Moshi only knows 1e-08"),
        ("transformer", {"mlp": "gelu"}, "mlp is 'gelu'"),
        ("depth", {"dim": 14, "hidden_dim": 37}, "cannot say a hidden_dim of 37 at dim 14"),
    ]:
        spec = {**SPEC, "init_args": {**args, part: {**args[part], **changes}}}
        with pytest.raises(ValueError, match=message):
            export_weights(spec, tensors, "kyutai", tmp_path)
    with pytest.raises(ValueError, match="a moshi cannot be exported as hf-llama"):
        export_weights(SPEC, tensors, "hf-llama", tmp_path)
