"""Names of models."""

from pathlib import Path

import pytest

import moshi_zoo
import tests.toys  # noqa: F401 - registers the toy components
from moshi_zoo import registry
from moshi_zoo.zoo import folder, uri

SPEC = {"component": "toy", "init_args": {"dim": 8}}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("checkpoints/codec", "runs/first/zoo", "runs/chain/second/zoo", "elsewhere/model"):
        folder.save(Path(path), SPEC, registry.build("toy", dim=8).state_dict(), stage="test")
    Path("runs/young/checkpoints").mkdir(parents=True)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("codec", "checkpoints/codec"),
        ("checkpoints/codec", "checkpoints/codec"),
        ("first", "runs/first/zoo"),
        ("runs/first", "runs/first/zoo"),
        ("runs/first/zoo", "runs/first/zoo"),
        ("chain/second", "runs/chain/second/zoo"),
        ("elsewhere/model", "elsewhere/model"),
        (Path("elsewhere/model"), "elsewhere/model"),
    ],
)
def test_a_model_is_found_by_name_run_or_folder(name, path):
    assert uri.resolve(name) == Path(path)
    assert type(moshi_zoo.load(name)).__name__ == "Toy"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("codecc", "no model is called 'codecc'; did you mean codec"),
        ("young", "has no zoo folder yet"),
        ("runs/young", "has no zoo folder yet"),
        ("elsewhere", "is no zoo folder"),
        ("elsewhere/model/model.safetensors", "import"),
        ("toy-tiny", "is a preset"),
        ("ftp://kyutai/mimi", "ftp:// is no place for models"),
        ("moshiko", r"moshiko is not here yet: `python -m moshi_zoo download moshiko` fetches it \(15.4 GB\)"),
    ],
)
def test_what_is_no_model_is_refused_with_the_reason(name, message):
    with pytest.raises(ValueError, match=message):
        uri.resolve(name)


def test_what_only_has_the_name_of_a_model_does_not_hide_it(monkeypatch, tmp_path):
    for name in ("codec", "first", "shipped", "moshiko", "toy-tiny"):
        Path(name).mkdir()
        Path(name, "notes.txt").write_text("mine")
    folder.save(Path("far/shipped"), SPEC, registry.build("toy", dim=8).state_dict(), stage="test")
    monkeypatch.setattr(uri.catalogue, "shipped_folder", lambda name: Path("far") / name)
    found = [uri.resolve(name) for name in ("codec", "first", "shipped")]
    assert found == [Path("checkpoints/codec"), Path("runs/first/zoo"), Path("far/shipped")]
    with pytest.raises(ValueError, match="moshi_zoo download moshiko"):
        uri.resolve("moshiko")
    for name in ("toy-tiny", "./codec/../toy-tiny", tmp_path / "codec"):
        with pytest.raises(ValueError, match="is no zoo folder"):
            uri.resolve(name)


def test_a_zoo_folder_in_the_current_folder_comes_before_the_names():
    folder.save(Path("codec"), SPEC, registry.build("toy", dim=8).state_dict(), stage="test")
    assert uri.resolve("codec") == Path("codec")


def test_a_name_for_two_models_is_refused():
    folder.save(Path("runs/codec/zoo"), SPEC, registry.build("toy", dim=8).state_dict(), stage="test")
    with pytest.raises(ValueError, match="both checkpoints/codec and runs/codec/zoo"):
        uri.resolve("codec")


def test_all_models_are_listed():
    names = [entry.name for entry in moshi_zoo.list_models()]
    assert names == ["checkpoints/codec", "runs/chain/second", "runs/first"]
