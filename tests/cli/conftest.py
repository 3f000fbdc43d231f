"""A folder to run in, with a recipe for the toy stage."""

from pathlib import Path

import pytest
import yaml

import tests.toys  # noqa: F401 - registers the toy components
from moshi_zoo.__main__ import main
from tests.hub_fixtures import hub, write_catalogue  # noqa: F401 - fixtures

RECIPE = {
    "run_name": "toy",
    "model": {
        "class_path": "LitToy",
        "init_args": {"net": "${preset:toy-tiny}", "optimizer": {"class_path": "SGD", "init_args": {"lr": 0.01}}},
    },
    "data": {"class_path": "ToyData", "init_args": {"batch_size": 4}},
    "trainer": {
        "accelerator": "cpu",
        "max_steps": 8,
        "log_every_n_steps": 1,
        "num_sanity_val_steps": 0,
        "enable_model_summary": False,
    },
}


@pytest.fixture
def recipe(tmp_path, monkeypatch) -> Path:
    """The toy recipe, in an empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


@pytest.fixture
def moshi_zoo(capsys):
    """Runs a command line in this process: ``code, out, err = moshi_zoo("fit", ...)``."""

    def run(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run
