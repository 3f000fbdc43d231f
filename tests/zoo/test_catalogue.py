"""The catalogue of models."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from moshi_zoo import registry
from moshi_zoo.zoo import catalogue, folder, licences

ROOT = Path(__file__).parents[2]
ENTRIES = catalogue.catalogue()


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES.keys())
def test_an_entry_says_what_can_be_true(entry):
    assert licences.checked(entry.licence) == entry.licence
    if entry.component != "lora":  # whose sizes are its model's, and its ranks
        assert entry.preset in registry.names()
        assert registry.to_portable(registry.preset(entry.preset))["component"] == entry.component
    assert entry.codec == "" or ENTRIES[entry.codec].component == "mimi"
    assert (entry.component == "moshi") == bool(entry.codec)
    if entry.ships:
        assert entry.format == "zoo"
        return
    assert re.fullmatch(r"[\w-]+/[\w.-]+", entry.repository)
    assert re.fullmatch(r"[0-9a-f]{40}|main", entry.revision)
    assert entry.about
    assert any(file.name.endswith((".safetensors", ".safetensors*")) for file in entry.files)
    for file in entry.files:
        assert "/" not in file.name
        assert not file.sha256 or re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert not (file.is_pattern and file.sha256)


@pytest.mark.parametrize("name", [name for name, e in ENTRIES.items() if e.about_bytes and not name.endswith("-q8")])
def test_the_size_is_that_of_the_preset_in_half_precision(name):
    spec = registry.to_portable(registry.preset(ENTRIES[name].preset))
    assert ENTRIES[name].size == pytest.approx(2 * folder.num_parameters(spec), rel=0.01)


def test_the_public_releases_are_there():
    expected = {"mimi", "moshiko", "moshika", "moshiko-q8", "moshika-q8", "moshika-rl-seamless"}
    assert expected | {"helium-1-preview-2b", "helium-1-2b"} <= ENTRIES.keys()


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean moshiko"):
        catalogue.find("moshikoo")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"component": "toy", "licence": "MIT", "format": "zip"}, "no format is called 'zip'"),
        ({"component": "toy", "licence": "MIT", "format": "zoo", "licens": "x"}, "did you mean licence"),
        ({"component": "toy", "licence": "MIT", "format": "zoo", "files": [{"nam": "x"}]}, "nam"),
        ({"component": "toy", "format": "zoo"}, "licence"),
        (3, "catalogue"),
    ],
)
def test_a_broken_catalogue_is_named(write_catalogue, entry, message):
    write_catalogue(x=entry)
    with pytest.raises(ValueError, match=message) as error:
        catalogue.catalogue()
    assert "catalogue.yaml" in str(error.value)


def test_a_wheel_holds_the_catalogue_and_the_models_that_ship_and_nothing_else(tmp_path):
    pytest.importorskip("hatchling.build", reason="hatchling is not installed")
    build = "import hatchling.build, sys; print(hatchling.build.build_wheel(sys.argv[1]))"
    made = subprocess.run([sys.executable, "-c", build, tmp_path], cwd=ROOT, capture_output=True, text=True, check=True)
    site = tmp_path / "site"
    with zipfile.ZipFile(tmp_path / made.stdout.split()[-1]) as wheel:
        names = [name for name in wheel.namelist() if name.startswith("moshi_zoo/")]
        wheel.extractall(site, names)
    assert (site / "moshi_zoo/checkpoints/catalogue.yaml").read_text() == (
        ROOT / "checkpoints/catalogue.yaml"
    ).read_text()
    shipped = {name for name, entry in ENTRIES.items() if entry.ships and (ROOT / "checkpoints" / name).is_dir()}
    assert {path.name for path in (site / "moshi_zoo/checkpoints").iterdir() if path.is_dir()} == shipped
    for name in shipped:
        folder.verify(site / "moshi_zoo/checkpoints" / name)
    look = "from moshi_zoo.zoo import catalogue; print(catalogue.__file__, len(catalogue.catalogue()))"
    elsewhere = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin"}
    found = subprocess.run(
        [sys.executable, "-c", look], cwd=tmp_path, env=elsewhere, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == [str(site / "moshi_zoo/zoo/catalogue.py"), str(len(ENTRIES))]
