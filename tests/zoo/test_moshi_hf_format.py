"""Moshi's folder in the layout of transformers: what is written, what is read, and what is refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from moshi_zoo import registry
from moshi_zoo.zoo.convert import export_weights, import_weights
from moshi_zoo.zoo.exports import Codec


def complete(spec):
    return registry.to_portable(registry.complete(registry.from_portable(spec)))


def plain(**changes):
    """A Moshi of the family that transformers knows."""
    args = registry.to_portable(registry.preset("moshi-tiny"))["init_args"]
    depth = {**args["depth"], "schedule": None, "embedding_rank": None}
    args = {**args, "depth": depth, "user_heads": False, "num_extra_heads": 0, **changes}
    return complete({"component": "moshi", "init_args": args})


SPEC = plain()
CODEC = registry.to_portable(registry.complete(registry.preset("mimi-tiny")))


def made(spec):
    return registry.instantiate(registry.from_portable(spec)).bfloat16().state_dict()


@pytest.fixture
def codec():
    return Codec(CODEC, made(CODEC))


@pytest.fixture
def exported(tmp_path, codec):
    export_weights(SPEC, made(SPEC), "hf", tmp_path / "x", codec=codec)
    return tmp_path / "x"


def edit_config(folder, part=None, **changes):
    file = folder / "config.json"
    config = json.loads(file.read_text())
    (config[part] if part else config).update(changes)
    file.write_text(json.dumps(config))


def test_a_model_comes_back_bit_for_bit(tmp_path, codec):
    before = made(SPEC)
    export_weights(SPEC, before, "hf", tmp_path, codec=codec)
    spec, after = import_weights(tmp_path, "hf")
    assert complete(spec) == SPEC
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_the_codec_is_in_the_file(exported, codec):
    tensors = load_file(exported / "model.safetensors")
    found = {name.removeprefix("audio_encoder."): t for name, t in tensors.items() if name.startswith("audio_encoder.")}
    export_weights(CODEC, codec.tensors, "hf", exported.parent / "codec")
    expected = load_file(exported.parent / "codec/model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"delays": [0, 0, 2, 2, 2, 0, 2, 2, 2]}, r"delays is \[0, 0, 2, 2.*only knows \[0, 0, 1, 1"),
        ({"user_heads": True}, "user_heads is True"),
        ({"num_extra_heads": 2}, "num_extra_heads is 2"),
        ({"num_user_codebooks": 0, "delays": [0, 0, 1, 1, 1]}, "num_user_codebooks is 0.*only knows 4"),
        ({"codebook_size": 64}, "the codec has 4 codebooks of 32 codes, but this model speaks 4 of 64"),
    ],
)
def test_a_model_that_the_layout_cannot_say_is_refused_and_nothing_written(tmp_path, codec, changes, message):
    spec = plain(**changes)
    with pytest.raises(ValueError, match=message):
        export_weights(spec, made(spec), "hf", tmp_path / "x", codec=codec)
    assert not (tmp_path / "x").exists()


def test_the_layout_needs_the_codec(tmp_path):
    with pytest.raises(ValueError, match="holds its codec, too: name it"):
        export_weights(SPEC, made(SPEC), "hf", tmp_path)
    with pytest.raises(ValueError, match="the codec of a moshi is a mimi, not a moshi"):
        export_weights(SPEC, made(SPEC), "hf", tmp_path, codec=Codec(SPEC, made(SPEC)))


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        (None, {"num_hidden_layers": 10**9}, "num_hidden_layers 1000000000"),
        (None, {"hidden_size": "64"}, "hidden_size '64'"),
        (None, {"hidden_act": "gelu"}, "hidden_act 'gelu', but this project's Moshi has 'silu'"),
        (None, {"head_dim": 7}, "head_dim 7"),
        (None, {"rope_parameters": {"rope_type": "yarn"}}, "rope_type 'yarn'"),
        (None, {"ffn_dim": 2 * 160}, r"mlp.fc1.weight has shape \[352, 64\], config.json says \[320, 64\]"),
        (None, {"num_codebooks": 3}, "depth_decoder.embed_tokens.2.weight is unknown"),
        (None, {"audio_encoder_config": None, "audio_vocab_size": None}, r"\[33, 64\], config.json says \[2049, 64\]"),
        ("depth_decoder_config", {"num_key_value_heads": 1}, "depth_decoder_config.num_key_value_heads 1"),
        ("depth_decoder_config", {"num_hidden_layers": True}, "num_hidden_layers True"),
        ("depth_decoder_config", {"num_hidden_layers": 3}, "depth_decoder.layers.2.*is missing"),
    ],
)
def test_a_config_that_cannot_be_is_refused(exported, part, changes, message):
    edit_config(exported, part, **changes)
    with pytest.raises(ValueError, match=message) as error:
        import_weights(exported, "hf")
    assert str(exported) in str(error.value)


def test_tensors_that_do_not_fit_are_refused(exported):
    file = exported / "model.safetensors"
    tensors = load_file(file)
    save_file({**tensors, "decoder.extra.weight": torch.zeros(2)}, file)
    with pytest.raises(ValueError, match=r"decoder\.extra\.weight is unknown"):
        import_weights(exported, "hf")
    del tensors["depth_decoder.layers.0.self_attn.k_proj.linear.weight"]
    save_file(tensors, file)
    with pytest.raises(ValueError, match=r"depth_decoder\.layers\.0\.self_attn\.k_proj\.linear\.weight is missing"):
        import_weights(exported, "hf")


def test_kyutais_config_is_not_taken_for_transformers(tmp_path):
    export_weights(SPEC, made(SPEC), "kyutai", tmp_path)
    with pytest.raises(ValueError, match="--format kyutai"):
        import_weights(tmp_path, "hf")
