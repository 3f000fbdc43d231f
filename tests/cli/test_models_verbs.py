"""The verbs ``list``, ``import`` and ``export``."""

import pytest
import torch

from moshi_zoo import list_models, load, registry
from moshi_zoo.zoo import folder


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
