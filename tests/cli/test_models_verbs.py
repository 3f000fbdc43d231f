"""The verbs ``list``, ``info``, ``import`` and ``export``."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from moshi_zoo import list_models, load, registry
from moshi_zoo.zoo import folder
from moshi_zoo.zoo.config import Parent, read_config


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = registry.build("mimi-tiny").eval()
    spec = registry.to_portable(registry.preset("mimi-tiny"))
    folder.save(tmp_path / "checkpoints/tiny", spec, net.state_dict(), stage="test", licence="CC0-1.0")
    return net


def test_list_shows_models_and_presets(tiny, moshi_zoo, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "checkpoints/broken").mkdir()
    (tmp_path / "checkpoints/broken/config.yaml").write_text("component: mimi\n")
    (tmp_path / "checkpoints/broken/model.safetensors").write_bytes(b"")
    code, out, _ = moshi_zoo("list")
    assert code == 0
    for word in ("checkpoints/tiny", "CC0-1.0", "mimi-full", "79.3 M", "checkpoints/broken", "is missing"):
        assert word in out
    assert [e.name for e in list_models()] == ["checkpoints/broken", "checkpoints/tiny"]


def test_list_shows_what_can_be_had(tiny, moshi_zoo, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    code, out, _ = moshi_zoo("list", "moshi")
    assert code == 0
    for word in ("moshiko", "15.4 GB", "7.69 B", "CC-BY-4.0", "hf://kyutai/moshiko-pytorch-bf16", "moshi-7b"):
        assert word in out
    assert "checkpoints/tiny" not in out
    assert "helium-1-2b" not in out


def test_list_is_json_for_programs_and_filters_by_kind_and_licence(tiny, moshi_zoo):
    rows = json.loads(moshi_zoo("list", "mimi", "--json")[1])
    assert {row["name"] for row in rows} - {"mimi-nano"} == {"checkpoints/tiny", "mimi"}
    here = next(row for row in rows if row["name"] == "checkpoints/tiny")
    assert (here["component"], here["licence"], here["here"], here["source"]) == ("mimi", "CC0-1.0", "yes", "test")
    assert here["parameters"] == sum(p.numel() for p in tiny.parameters())
    by_licence = json.loads(moshi_zoo("list", "by-nc", "--json")[1])
    assert [row["name"] for row in by_licence] == ["moshika-rl-seamless"]
    assert json.loads(moshi_zoo("list", "zebra", "--json")[1]) == []


def test_list_verifies_on_demand(tiny, moshi_zoo, tmp_path):
    def here():
        rows = json.loads(moshi_zoo("list", "checkpoints/tiny", "--json", "--verify")[1])
        return f"{rows[0]['here']} {rows[0]['problem']}"

    assert here() == "verified "
    weights = tmp_path / "checkpoints/tiny/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    assert "unusable" in here()
    assert "sha256" in here()


def test_a_model_that_ships_is_found_from_anywhere(write_catalogue, moshi_zoo, tmp_path, monkeypatch):
    entry = {"component": "mimi", "preset": "mimi-tiny", "licence": "CC0-1.0", "format": "zoo"}
    write_catalogue(small=entry, gone=entry)
    spec = registry.to_portable(registry.preset("mimi-tiny"))
    folder.save(tmp_path / "catalogue/small", spec, registry.build("mimi-tiny").state_dict(), stage="LitMimi")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert type(load("small")).__name__ == "Mimi"
    rows = {row["name"]: row["here"] for row in json.loads(moshi_zoo("list", "--json")[1])}
    assert rows == {"small": "yes", "gone": "no"}
    assert moshi_zoo("info", "nowhere")[0] == 2
    with pytest.raises(ValueError, match="gone ships with the repository, and is not in this installation"):
        load("gone")
    assert moshi_zoo("download", "small")[0] == 2


def test_info_tells_of_what_is_here_and_of_what_is_not(tiny, moshi_zoo):
    code, out, _ = moshi_zoo("info", "tiny", "--verify")
    assert code == 0
    for word in ("checkpoints/tiny", "CC0-1.0", "(verified)", "num_codebooks: 4", "model.safetensors ("):
        assert word in out
    code, out, _ = moshi_zoo("info", "moshiko")
    assert code == 0
    for word in ("not here", "kyutai/moshiko-pytorch-bf16 at 2bfc9ae6", "CC-BY-4.0", "15.4 GB", "mimi"):
        assert word in out


@pytest.mark.parametrize("layout", ["kyutai", "hf"])
def test_export_and_import_give_the_same_codec(tiny, moshi_zoo, layout):
    out = "there.safetensors" if layout == "kyutai" else "there"
    assert moshi_zoo("export", "tiny", "--format", layout, "--out", out)[0] == 0
    words = ("--format", layout, "--out", "checkpoints/back", "--preset", "mimi-tiny", "--licence", "CC0-1.0")
    code, _, err = moshi_zoo("import", out, *words)
    assert code == 0, err
    back = load("back")
    wav = torch.rand(1, 1, 1920 * 3) - 0.5
    with torch.inference_mode():
        assert torch.equal(back(wav).wav, tiny(wav).wav)
        assert torch.equal(back.encode(wav), tiny.encode(wav))


def test_import_of_the_wrong_size_writes_nothing(tiny, moshi_zoo, tmp_path):
    moshi_zoo("export", "tiny", "--format", "kyutai", "--out", "there.safetensors")
    code, _, err = moshi_zoo("import", "there.safetensors", "--format", "kyutai", "--out", "checkpoints/x")
    assert code == 2, err
    assert not (tmp_path / "checkpoints/x").exists()
    assert "mimi-full" in err or "shape" in err


def test_a_moshi_is_exported_with_the_codec_of_its_lineage(tiny, moshi_zoo, tmp_path):
    codec = read_config(tmp_path / "checkpoints/tiny")
    args = registry.to_portable(registry.complete(registry.preset("moshi-tiny")))["init_args"]
    depth = {**args["depth"], "schedule": None, "embedding_rank": None}
    spec = {"component": "moshi", "init_args": {**args, "depth": depth, "user_heads": False, "num_extra_heads": 0}}
    net = registry.instantiate(registry.from_portable(spec))
    parents = [Parent("tiny", codec.sha256)]
    folder.save(tmp_path / "checkpoints/talker", spec, net.state_dict(), stage="LitMoshi", parents=parents)
    folder.save(tmp_path / "checkpoints/orphan", spec, net.state_dict(), stage="LitMoshi")
    code, _, err = moshi_zoo("export", "talker", "--format", "hf", "--out", "there")
    assert code == 0, err
    assert "MoshiForConditionalGeneration" in (tmp_path / "there/README.md").read_text()
    assert moshi_zoo("import", "there", "--format", "hf", "--out", "checkpoints/back")[0] == 0
    back = load("back").state_dict()
    assert all(torch.equal(back[name], tensor) for name, tensor in net.state_dict().items())
    code, _, err = moshi_zoo("export", "orphan", "--format", "hf", "--out", "elsewhere")
    assert code == 2
    assert "--codec NAME" in err
    assert moshi_zoo("export", "orphan", "--format", "hf", "--out", "elsewhere", "--codec", "tiny")[0] == 0


BAD_INPUT = {
    "missing tensor": (
        lambda tensors: tensors.pop("decoder.model.0.conv.conv.bias"),
        "decoder.model.0.conv.conv.bias is missing",
    ),
    "unknown tensor": (lambda tensors: tensors.update(extra=torch.zeros(1)), "extra is unknown"),
    "other shape": (
        lambda tensors: tensors.update({"decoder.model.0.conv.conv.bias": torch.zeros(3)}),
        "decoder.model.0.conv.conv.bias has shape [3], mimi-tiny says [64]",
    ),
    "integers": (
        lambda tensors: tensors.update({"decoder.model.0.conv.conv.bias": torch.zeros(64, dtype=torch.int8)}),
        "decoder.model.0.conv.conv.bias is torch.int8",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_a_spoilt_file_is_refused_by_name_and_nothing_is_written(tiny, moshi_zoo, tmp_path, spoil, message):
    moshi_zoo("export", "tiny", "--format", "kyutai", "--out", "there.safetensors")
    tensors = load_file("there.safetensors")
    spoil(tensors)
    save_file(tensors, "there.safetensors")
    words = ("--format", "kyutai", "--preset", "mimi-tiny", "--out", "checkpoints/x")
    code, _, err = moshi_zoo("import", "there.safetensors", *words)
    assert code == 2
    assert "there.safetensors: the tensors do not fit mimi-tiny" in err
    assert message in err
    assert not (tmp_path / "checkpoints/x").exists()


def test_other_bad_files_are_refused_and_nothing_is_written(tiny, moshi_zoo, tmp_path):
    moshi_zoo("export", "tiny", "--format", "kyutai", "--out", "there.safetensors")
    content = (tmp_path / "there.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[:-100])
    torch.save({}, tmp_path / "model.ckpt")
    (tmp_path / "pickles").mkdir()
    (tmp_path / "pickles/config.json").write_text('{"model_type": "helium"}')
    torch.save({}, tmp_path / "pickles/pytorch_model.bin")
    kyutai, hf = ("--format", "kyutai", "--preset", "mimi-tiny"), ("--format", "hf")
    for words, message in [
        (["cut.safetensors", *kyutai], f"has {len(content) - 100} bytes and promises {len(content)}"),
        (["model.ckpt", *kyutai], "model.ckpt is a pickle"),
        (["model.ckpt", *hf], "model.ckpt is a pickle"),
        (["pickles", *hf], "pytorch_model.bin is a pickle"),
        (
            ["there.safetensors", "--format", "kyutai", "--preset", "moshi-tiny"],
            "this is no moshi, but moshi-tiny is one",
        ),
        (["there.safetensors", *hf], "config.json is missing"),
        (["there.safetensors", *kyutai, "--licence", "CC-BY-40"], "no licence is called 'CC-BY-40'; did you mean"),
    ]:
        code, _, err = moshi_zoo("import", *words, "--out", "checkpoints/x")
        assert code == 2, words
        assert message in err, words
        assert not (tmp_path / "checkpoints/x").exists()


def test_an_export_does_not_overwrite_a_zoo_folder(tiny, moshi_zoo, tmp_path):
    before = (tmp_path / "checkpoints/tiny/model.safetensors").read_bytes()
    code, _, err = moshi_zoo("export", "tiny", "--format", "hf", "--out", "checkpoints/tiny")
    assert code == 2
    assert "is a zoo folder, whose weights this would replace" in err
    assert (tmp_path / "checkpoints/tiny/model.safetensors").read_bytes() == before


def test_wrong_words_are_refused(tiny, moshi_zoo):
    for words, message in [
        (["import", "nowhere", "--format", "kyutai", "--out", "x"], "nowhere"),
        (["import", "nowhere", "--format", "kyutay", "--out", "x"], "kyutai or hf"),
        (["import", "nowhere", "--out", "x"], "format not given"),
        (["import", "checkpoints/tiny", "--format", "hf", "--out", "x", "--prest", "y"], "did you mean --preset"),
        (["export", "tiny", "tiny2", "--format", "hf", "--out", "x"], "one word too many: 'tiny2'"),
        (["export", "tini", "--format", "hf", "--out", "x"], "did you mean tiny"),
    ]:
        code, _, err = moshi_zoo(*words)
        assert code == 2, words
        assert message in err.splitlines()[-1], words
