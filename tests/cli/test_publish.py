"""The verb ``publish``, and what it uploads, against a hub on this machine."""

import json
from pathlib import Path

import pytest
import torch

import moshi_zoo as package
from moshi_zoo import registry
from moshi_zoo.zoo import folder
from moshi_zoo.zoo.config import read_config
from tests.zoo.fake_hub import TOKEN, Repository


@pytest.fixture
def codec(hub, write_catalogue, monkeypatch):
    """A codec in ``checkpoints/mine``."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    net = registry.build("mimi-tiny")
    spec = registry.to_portable(registry.preset("mimi-tiny"))
    folder.save(Path("checkpoints/mine"), spec, net.state_dict(), stage="LitMimi", licence="CC-BY-4.0")
    return net


def last_line(err):
    return err.splitlines()[-1]


def test_what_is_published_is_loaded_by_its_address(hub, codec, moshi_zoo):
    (Path("checkpoints/mine") / "notes.txt").write_text("mine")
    code, out, err = moshi_zoo("publish", "mine", "--to", "me/codec", "--private")
    assert code == 0, err
    assert "licence CC-BY-4.0" in out
    assert "me/codec/commit/" in out
    repository = hub.repositories["me/codec"]
    assert repository.private
    assert set(repository.files) == {"config.yaml", "model.safetensors", "README.md"}
    assert "stays here" in out
    assert b"license: cc-by-4.0" in repository.files["README.md"]
    found = package.load("hf://me/codec").state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in codec.state_dict().items())


def test_a_dry_run_shows_all_and_sends_nothing(hub, codec, moshi_zoo, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    code, out, _ = moshi_zoo("publish", "mine", "--to", "me/codec", "--dry-run")
    assert code == 0
    for word in ("checkpoints/mine -> me/codec", "model.safetensors", "config.yaml", "MB", "nothing was uploaded"):
        assert word in out
    assert not hub.requests


def test_an_exported_folder_is_ready_for_upload(hub, codec, moshi_zoo):
    assert moshi_zoo("export", "mine", "--format", "hf", "--out", "exported")[0] == 0
    card = Path("exported/README.md").read_text()
    for word in ("license: cc-by-4.0", "library_name: transformers", "MimiModel.from_pretrained", "LitMimi"):
        assert word in card
    assert read_config(Path("checkpoints/mine")).sha256 in card
    code, _, err = moshi_zoo("publish", "exported", "--to", "me/codec-hf")
    assert code == 0, err
    files = hub.repositories["me/codec-hf"].files
    assert set(files) == {"config.json", "model.safetensors", "preprocessor_config.json", "README.md"}
    assert json.loads(files["config.json"])["model_type"] == "mimi"
    assert package.load("hf://me/codec-hf").state_dict().keys() == codec.state_dict().keys()


def test_a_model_without_a_licence_is_not_published(hub, codec, moshi_zoo):
    spec = registry.to_portable(registry.preset("mimi-tiny"))
    folder.save(Path("checkpoints/mine"), spec, codec.state_dict(), stage="LitMimi")
    code, _, err = moshi_zoo("publish", "mine", "--to", "me/codec")
    assert code == 2
    assert "does not say under which licence" in last_line(err)
    code, _, err = moshi_zoo("publish", "mine", "--to", "me/codec", "--licence", "free")
    assert code == 2
    assert "no licence is called 'free'" in last_line(err)
    assert not hub.repositories
    code, _, err = moshi_zoo("publish", "mine", "--to", "me/codec", "--licence", "cc0-1.0")
    assert code == 0, err
    assert b"licence: CC0-1.0" in hub.repositories["me/codec"].files["config.yaml"]
    assert b"license: cc0-1.0" in hub.repositories["me/codec"].files["README.md"]
    assert read_config(Path("checkpoints/mine")).licence == "unspecified", "the folder here is as it was"
    assert [path.name for path in Path("checkpoints").iterdir()] == ["mine"]


def test_damaged_and_strange_folders_are_not_published(hub, codec, moshi_zoo):
    weights = Path("checkpoints/mine/model.safetensors")
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + b"\x7f")
    code, _, err = moshi_zoo("publish", "mine", "--to", "me/codec")
    assert code == 2
    assert "model.safetensors has sha256" in last_line(err)
    weights.unlink()
    Path("secret").write_bytes(content)
    weights.symlink_to(Path("secret").resolve())
    code, _, err = moshi_zoo("publish", "mine", "--to", "me/codec")
    assert code == 2
    assert "outside the folder" in last_line(err)
    Path("exported").mkdir()
    Path("exported/config.json").write_text("{}")
    Path("exported/pytorch_model.bin").write_bytes(b"x")
    code, _, err = moshi_zoo("publish", "exported", "--to", "me/codec")
    assert code == 2
    assert "exported holds no weights in safetensors files" in last_line(err)
    assert not hub.repositories


def test_a_refusing_hub_is_explained(hub, codec, moshi_zoo, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    code, _, err = moshi_zoo("publish", "mine", "--to", "me/codec")
    assert code == 2
    assert "(401)" in last_line(err)
    assert "HF_TOKEN" in last_line(err)
    monkeypatch.delenv("HF_TOKEN")
    code, _, err = moshi_zoo("publish", "mine", "--to", "me/codec")
    assert code == 2
    assert "publishing needs a token" in last_line(err)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    code, _, err = moshi_zoo("publish", "mine", "--to", "no name")
    assert code == 2
    assert "'no name' is no name of a repository" in last_line(err)
    assert not hub.repositories


def test_a_repository_that_is_there_gets_another_commit(hub, codec, moshi_zoo):
    hub.repositories["me/codec"] = Repository({"README.md": b"old", "old.txt": b"kept"})
    assert moshi_zoo("publish", "mine", "--to", "me/codec")[0] == 0
    assert hub.repositories["me/codec"].files["README.md"] != b"old"
    assert hub.repositories["me/codec"].files["old.txt"] == b"kept"
