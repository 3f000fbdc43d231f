"""Adapters in Kyutai's layouts: what is written, what is read, and what is refused."""

import json
import shutil
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import load_file, save_file

from moshi_zoo import load, registry
from moshi_zoo.modules.lora import LoraSize, adapter_state_dict, add_adapter
from moshi_zoo.zoo import adapters, folder, lora_format
from moshi_zoo.zoo.config import Parent, read_config
from moshi_zoo.zoo.convert import export_weights, import_weights

BASE = registry.to_portable(registry.complete(registry.preset("moshi-tiny")))
EVEN = LoraSize(temporal=3, depth=3, heads=3, scaling=0.5)


def adapter(size, base="moshi-tiny", dtype=torch.float32):
    """Spec and random tensors of an adapter."""
    net = registry.build(base)
    add_adapter(net, size)
    tensors = {name: 0.1 * torch.randn_like(tensor).to(dtype) for name, tensor in adapter_state_dict(net).items()}
    return adapters.adapter_spec(registry.to_portable(registry.preset(base)), size), tensors


@pytest.fixture(scope="module")
def exported_once(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported")
    export_weights(*adapter(EVEN), "kyutai", path)
    return path


@pytest.fixture
def exported(exported_once, tmp_path):
    return shutil.copytree(exported_once, tmp_path / "exported")


@pytest.mark.parametrize("layout", ["kyutai", "kyutai-packed"])
def test_an_adapter_comes_back_bit_for_bit(tmp_path, layout):
    spec, before = adapter(EVEN, dtype=torch.bfloat16)
    file, config = export_weights(spec, before, layout, tmp_path)
    assert (file.name, config.name) == ("lora.safetensors", "config.json")
    read, after = import_weights(tmp_path, "kyutai", base=BASE)
    assert read["init_args"] == {"base": BASE, "size": asdict(EVEN)}
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(tensor.dtype == torch.bfloat16 for tensor in after.values())
    (again, _), theirs = export_weights(read, after, layout, tmp_path / "again"), load_file(file)
    assert load_file(again).keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in load_file(again).items())


def test_the_layouts_have_their_tensors():
    size = LoraSize(temporal=128, depth=128, heads=128)
    base = registry.to_portable(registry.complete(registry.preset("moshi-7b")))
    spec = adapters.adapter_spec(base, size)
    with torch.device("meta"):
        tensors = registry.instantiate(registry.from_portable(spec)).state_dict()
    steps, packed = (lora_format.to_kyutai(tensors, spec, attention=layout) for layout in ("steps", "packed"))
    numbers = [sum(tensor.numel() for tensor in layout.values()) for layout in (tensors, steps, packed)]
    assert numbers == [387_874_816] * 3
    shapes = {name: list(tensor.shape) for name, tensor in (packed | steps).items()}
    expected = {
        "transformer.layers.31.self_attn.in_projs.0.lora_A.weight": [128, 4096],
        "transformer.layers.0.self_attn.out_projs.0.lora_B.weight": [4096, 128],
        "transformer.layers.0.gating.linear_in.lora_B.weight": [22528, 128],
        "text_linear.lora_B.weight": [32000, 128],
        "depformer_in.7.lora_A.weight": [128, 4096],
        "depformer.layers.5.self_attn.in_projs.7.lora_B.weight": [3072, 128],
        "depformer.layers.5.gating.7.linear_out.lora_A.weight": [128, 2816],
        "linears.7.lora_B.weight": [2048, 128],
        # packed
        "transformer.layers.31.self_attn.in_proj.lora_A.weight": [128, 4096],
        "depformer.layers.5.self_attn.in_proj.lora_A.weight": [1024, 1024],
        "depformer.layers.5.self_attn.in_proj.lora_B.weight": [24576, 128],
        "depformer.layers.5.self_attn.out_proj.lora_B.weight": [8192, 128],
    }
    assert {name: shapes.get(name) for name in expected} == expected
    assert not any("_projs." in name for name in packed)
    assert (len(steps), len(packed)) == (2 * (32 * 4 + 1 + 8 + 6 * 8 * 4 + 8), 2 * (32 * 4 + 1 + 8 + 6 * (2 + 16) + 8))


@torch.no_grad()
def test_smaller_ranks_are_filled_up_with_zeros(tmp_path):
    spec, before = adapter(LoraSize(temporal=2, depth=3))
    export_weights(spec, before, "kyutai", tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["lora_rank"] == 3
    read, after = import_weights(tmp_path, "kyutai", base=BASE)
    ours, theirs = (registry.instantiate(registry.from_portable(s)) for s in (spec, read))
    ours.load_state_dict(before)
    theirs.load_state_dict(after)
    parts = theirs.adapters()
    assert all(torch.equal(parts.pop(path).product(), part.product()) for path, part in ours.adapters().items())
    assert parts
    assert not any(part.product().any() for part in parts.values())


def test_without_a_config_the_tensors_say_the_rank(exported):
    (exported / "config.json").unlink()
    spec, _ = import_weights(exported / "lora.safetensors", "kyutai", base=BASE)
    assert spec["init_args"]["size"] == {"temporal": 3, "depth": 3, "heads": 3, "scaling": 2.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lora": False}, "lora False: it is of a model"),
        ({"lora_rank": 4}, r"text_linear\.lora_A\.weight has rank 3, but config\.json says lora_rank 4"),
        ({"lora_rank": None}, "lora_rank None"),
        ({"lora_scaling": "2"}, "lora_scaling '2'; it must be a number"),
    ],
)
def test_a_config_that_cannot_be_is_refused(exported, changes, message):
    file = exported / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(ValueError, match=message) as error:
        import_weights(exported, "kyutai", base=BASE)
    assert "lora.safetensors" in str(error.value)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("linears.1.lora_A.weight", None, r"linears\.1\.lora_A\.weight is missing"),
        ("text_linear.lora_A.weight", None, r"text_linear\.lora_A\.weight is missing"),
        ("text_emb.weight", torch.zeros(2), r"text_emb\.weight is unknown"),
        ("extra_heads.1.lora_B.weight", torch.zeros(6, 2), r"lora_B.* has shape \[6, 2\], the model says \[6, 3\]"),
        ("linears.0.lora_A.weight", torch.zeros(3, 16, dtype=torch.int8), r"linears\.0\.lora_A\.weight is torch\.int8"),
        ("transformer.layers.0.self_attn.in_proj.lora_A.weight", torch.zeros(3, 64), r"in_projs\.0.*both are there"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(exported, name, tensor, message):
    file = exported / "lora.safetensors"
    tensors = {**load_file(file), name: tensor}
    save_file({key: value for key, value in tensors.items() if value is not None}, file)
    with pytest.raises(ValueError, match=message) as error:
        import_weights(exported, "kyutai", base=BASE)
    assert "lora.safetensors" in str(error.value)


def test_an_adapter_belongs_to_a_moshi(exported, tmp_path):
    with pytest.raises(ValueError, match="is an adapter: say which model"):
        import_weights(exported, "kyutai")
    with pytest.raises(ValueError, match="adapters of a moshi, not of a helium"):
        import_weights(exported, "kyutai", base=registry.to_portable(registry.preset("helium-tiny")))
    with pytest.raises(ValueError, match="adapters of a moshi, not of a helium"):
        export_weights(*adapter(LoraSize(temporal=1), "helium-tiny"), "kyutai", tmp_path / "out")
    export_weights(BASE, registry.build("moshi-tiny").state_dict(), "kyutai", tmp_path / "model")
    with pytest.raises(ValueError, match="is no adapter"):
        import_weights(tmp_path / "model", "kyutai", base=BASE)
    assert not (tmp_path / "out").exists()


@torch.no_grad()
def test_the_verbs_bring_adapters_there_and_back(tmp_path, monkeypatch, capsys):
    from moshi_zoo.__main__ import main

    monkeypatch.chdir(tmp_path)
    parent = folder.save(tmp_path / "base", BASE, registry.build("moshi-tiny").state_dict(), stage="test")
    spec, tensors = adapter(LoraSize(temporal=2, depth=2, heads=2))
    folder.save(tmp_path / "voice", spec, tensors, stage="test", parents=[Parent("base", parent.sha256)])
    assert main(["export", "voice", "--format", "kyutai", "--out", "there"]) == 0
    assert main(["import", "there", "--format", "kyutai", "--base", "base", "--out", "back"]) == 0
    assert main(["export", "base", "--adapter", "voice", "--format", "kyutai", "--out", "merged"]) == 0
    assert main(["import", "merged", "--format", "kyutai", "--out", "whole"]) == 0, capsys.readouterr().err
    assert read_config(tmp_path / "back").parents == (Parent("base", parent.sha256),)
    codes = torch.arange(54).view(1, 9, 6) % 32
    found = [load("base", adapter=name)(codes).audio_logits for name in ("voice", "back")]
    assert torch.equal(*found)
    torch.testing.assert_close(load("whole")(codes).audio_logits, found[0], atol=1e-4, rtol=0)
    assert main(["import", "there", "--format", "kyutai", "--out", "nowhere"]) == 2
    assert main(["export", "merged", "--adapter", "voice", "--format", "kyutai", "--out", "nowhere"]) == 2
    assert not (tmp_path / "nowhere").exists()
