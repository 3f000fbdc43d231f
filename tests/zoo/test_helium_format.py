"""Helium's files in the layouts of Hugging Face: what is read, and what is refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from moshi_zoo import registry
from moshi_zoo.zoo.convert import export_weights, import_weights

SPEC = registry.to_portable(registry.preset("helium-tiny"))


@pytest.fixture(params=["hf", "hf-llama"])
def exported(request, tmp_path):
    helium = registry.build("helium-tiny")
    export_weights(SPEC, helium.state_dict(), request.param, tmp_path)
    return tmp_path


def edit_config(folder, **changes):
    file = folder / "config.json"
    config = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))


def edit_tensors(folder, **changes):
    file = folder / "model.safetensors"
    tensors = {**load_file(file), **{name.replace("__", "."): tensor for name, tensor in changes.items()}}
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, file)


def split_in_two(folder):
    """The same weights in two files and an index."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    files = {"model-00001-of-00002.safetensors": names[:7], "model-00002-of-00002.safetensors": names[7:]}
    for file, part in files.items():
        save_file({name: tensors[name] for name in part}, folder / file)
    weight_map = {name: file for file, part in files.items() for name in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return weight_map


def test_one_file_and_several_give_the_same_model(exported):
    spec, whole = import_weights(exported, "hf")
    split_in_two(exported)
    spec_again, parts = import_weights(exported, "hf")
    assert spec == spec_again
    assert all(torch.equal(whole[name], parts[name]) for name in whole.keys() | parts.keys())
    net = registry.instantiate(registry.from_portable(spec))
    net.load_state_dict(parts, strict=True)
    assert net.transformer.size == registry.build("helium-tiny").transformer.size


def test_both_layouts_give_the_same_model(tmp_path):
    tensors = registry.build("helium-tiny").state_dict()
    for layout in ("hf", "hf-llama"):
        export_weights(SPEC, tensors, layout, tmp_path / layout)
        back = import_weights(tmp_path / layout, "hf")[1]
        assert all(torch.equal(back[name], tensors[name]) for name in tensors)
    files = [load_file(tmp_path / layout / "model.safetensors") for layout in ("hf", "hf-llama")]
    name = "model.layers.0.self_attn.k_proj.weight"
    assert not torch.equal(files[0][name], files[1][name])


def test_tables_that_old_files_carry_are_ignored(exported):
    edit_tensors(exported, **{"model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(8)})
    import_weights(exported, "hf")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "bert"}, "of a 'bert' model; mimi, helium and llama"),
        ({"model_type": ...}, "of a None model"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers 1000000000; it must be a whole number from 1 to 1000"),
        ({"num_hidden_layers": True}, "num_hidden_layers True"),
        ({"hidden_size": "64"}, "hidden_size '64'"),
        ({"vocab_size": -1}, "vocab_size -1"),
        ({"vocab_size": ...}, "vocab_size None"),
        ({"num_key_value_heads": 3}, r"num_heads \(4\) must be divisible by num_kv_heads \(3\)"),
        ({"head_dim": 32}, "head_dim 32, but a Helium has 16"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu', but a Helium has 'silu'"),
        ({"attention_bias": True}, "attention_bias True"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings True"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope_type 'yarn'"),
        ({"rope_parameters": {"rope_theta": "fast"}}, "rope_theta 'fast'"),
        ({"rope_parameters": 7}, "rope_parameters 7"),
        ({"rms_norm_eps": 0}, "rms_norm_eps 0"),
        ({"num_hidden_layers": 3}, "model.layers.2.*is missing"),
        ({"num_hidden_layers": 1}, "model.layers.1.*is unknown"),
        ({"intermediate_size": 160}, r"gate_proj.weight has shape \[176, 64\], config.json says \[160, 64\]"),
    ],
)
def test_a_config_that_cannot_be_is_refused(exported, changes, message):
    edit_config(exported, **changes)
    with pytest.raises(ValueError, match=message) as error:
        import_weights(exported, "hf")
    assert str(exported) in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lm_head__weight": None}, "lm_head.weight is missing"),
        ({"model__layers__1__self_attn__k_proj__weight": None}, "model.layers.1.self_attn.k_proj.weight is missing"),
        ({"model__extra__weight": torch.zeros(3)}, "model.extra.weight is unknown"),
        ({"model__norm__weight": torch.zeros(3)}, r"model.norm.weight has shape \[3\], config.json says \[64\]"),
        ({"model__norm__weight": torch.zeros(64, dtype=torch.int8)}, "model.norm.weight is torch.int8"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(exported, changes, message):
    edit_tensors(exported, **changes)
    with pytest.raises(ValueError, match=message) as error:
        import_weights(exported, "hf")
    assert str(exported) in str(error.value)


@pytest.mark.parametrize("name", ["../elsewhere.safetensors", "/etc/passwd", "a/b.safetensors", 7, "weights.bin"])
def test_an_index_names_files_beside_itself_only(exported, name):
    weight_map = split_in_two(exported)
    weight_map["lm_head.weight"] = name
    (exported / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(ValueError, match="only safetensors files beside the index are read"):
        import_weights(exported, "hf")


def test_an_index_that_disagrees_with_its_files_is_refused(exported):
    weight_map = split_in_two(exported)
    moved = {**weight_map, "lm_head.weight": "model-00002-of-00002.safetensors"}
    index = exported / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": moved}))
    with pytest.raises(ValueError, match=r"disagree: only .* has the tensor lm_head.weight"):
        import_weights(exported, "hf")
    index.write_text(json.dumps({"weight_map": weight_map}))
    (exported / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model-00002-of-00002\.safetensors is missing"):
        import_weights(exported, "hf")


@pytest.mark.parametrize("content", ["", "{", "[1]", "[" * 100_000])
def test_a_config_that_is_no_object_is_refused(exported, content):
    (exported / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config\.json"):
        import_weights(exported, "hf")


def test_a_damaged_file_is_refused(exported):
    (exported / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(ValueError, match="no readable safetensors file"):
        import_weights(exported, "hf")


def test_what_a_layout_cannot_hold_is_refused(tmp_path):
    helium = registry.build("helium-tiny")
    with pytest.raises(ValueError, match="a helium cannot be exported as kyutai"):
        export_weights(SPEC, helium.state_dict(), "kyutai", tmp_path)
    size = {**SPEC["init_args"]["transformer"], "mlp": "gelu"}
    spec = {**SPEC, "init_args": {**SPEC["init_args"], "transformer": size}}
    with pytest.raises(ValueError, match="mlp is 'gelu'"):
        export_weights(spec, helium.state_dict(), "hf", tmp_path)
