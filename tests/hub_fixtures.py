"""Fixtures of what is downloaded and uploaded: a hub on this machine with an empty cache, and a catalogue."""

import pytest
import yaml

from tests.zoo import fake_hub


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that the environment points to; the folder is empty and the current one, the client's cache empty too."""
    from huggingface_hub import close_session, constants

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # another protocol for the same files
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with fake_hub.running() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        yield running
    close_session()


@pytest.fixture
def write_catalogue(tmp_path, monkeypatch):
    """Replaces the catalogue: ``write_catalogue(name={...}, ...)``."""
    from moshi_zoo.zoo import catalogue

    home = tmp_path / "catalogue"
    home.mkdir()
    monkeypatch.setattr(catalogue, "_home", lambda: home)

    def write(**entries):
        (home / "catalogue.yaml").write_text(yaml.safe_dump(entries))
        catalogue._read.cache_clear()

    write()
    yield write
    catalogue._read.cache_clear()
