"""torchaudio where its extension loads, where it does not, and where it is not there at all."""

import importlib.util
import logging
import sys

import pytest
import torch

from moshi_zoo.modules import torchaudio_guard
from moshi_zoo.modules.torchaudio_guard import load_torchaudio


@pytest.fixture
def fresh(monkeypatch):
    """As if nobody had imported torchaudio yet; put back afterwards."""
    before = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "torchaudio"}
    for name in before:
        monkeypatch.delitem(sys.modules, name)
    load_torchaudio.cache_clear()
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
        del sys.modules[name]
    load_torchaudio.cache_clear()


def _fails(error):
    def load_library(path):
        raise error

    return load_library


def test_torchaudio_is_imported_as_it_is_where_that_works():
    assert load_torchaudio() is importlib.import_module("torchaudio")


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("error", [OSError("libcudart.so.12 is missing"), RuntimeError("different CUDA versions")])
def test_without_its_extension_wavlm_and_resampling_work_and_alignment_says_why_not(monkeypatch, caplog, error):
    monkeypatch.setattr(torch.ops, "load_library", _fails(error))
    with caplog.at_level(logging.WARNING):
        torchaudio = load_torchaudio()
    assert str(error) in caplog.text
    assert torchaudio.functional.resample(torch.ones(1, 2400), 24_000, 16_000).shape == (1, 1600)
    with torch.device("meta"):
        assert torchaudio.models.wavlm_base() is not None
    with pytest.raises(RuntimeError, match="forced_align needs its compiled extension"):
        torchaudio.functional.forced_align(torch.zeros(1, 4, 3), torch.ones(1, 1, dtype=torch.int32))


@pytest.mark.usefixtures("fresh")
def test_not_being_installed_is_explained(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="torchaudio is not installed: `uv sync`"):
        load_torchaudio()


@pytest.mark.usefixtures("fresh")
def test_what_cannot_be_helped_is_explained(monkeypatch):
    def import_module(name):
        raise OSError("bad wheel")

    monkeypatch.setattr(torchaudio_guard.importlib, "import_module", import_module)
    with pytest.raises(ValueError, match=r"cannot be imported \(bad wheel\): install the release"):
        load_torchaudio()
    assert "torchaudio._extension" not in sys.modules
