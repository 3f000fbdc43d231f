"""Weights & Biases hears which model a run has made, and from which ones."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from lightning.pytorch.loggers import WandbLogger

import tests.toys  # noqa: F401 - registers the toy components
from moshi_zoo import registry
from moshi_zoo.training.stage import Stage
from moshi_zoo.training.wandb_models import WandbModels, artifact
from moshi_zoo.zoo import folder
from moshi_zoo.zoo.config import Parent, read_config


class Run:
    """Keeps what it is told."""

    def __init__(self, *, offline):
        self.offline = offline
        self.config, self.used, self.logged = {}, [], []
        self.config = SimpleNamespace(update=self._update)
        self.settings = {}

    def _update(self, values, allow_val_change):
        self.settings |= values

    def use_artifact(self, made):
        assert not self.offline, "W&B refuses this"
        self.used.append(made)

    def log_artifact(self, made):
        self.logged.append(made)


class Board(WandbLogger):
    """A logger without W&B behind it."""

    def __init__(self, run, *, log_model=False):
        self.run, self._log_model = run, log_model

    @property
    def experiment(self):
        return self.run


def save(path):
    spec = registry.to_portable(registry.preset("toy-tiny"))
    return folder.save(Path(path), spec, registry.build("toy-tiny").state_dict(), stage="LitToy")


@pytest.fixture
def parent(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Parent("runs/chain/first", save("runs/chain/first/zoo").sha256)


def tell(run, *parents, log_model=False):
    save("runs/chain/second/zoo")
    stage = Stage(lambda: None)
    stage.parents = list(parents)
    trainer = SimpleNamespace(loggers=[Board(run, log_model=log_model)], default_root_dir="runs/chain/second")
    WandbModels().on_train_start(trainer, stage)
    WandbModels().on_fit_end(trainer, stage)


def test_online_the_parents_are_used_and_the_result_is_logged(parent):
    run = Run(offline=False)
    tell(run, parent)
    assert [(made.name, made.type) for made in run.used + run.logged] == [
        ("chain-first", "model"),
        ("chain-second", "model"),
    ]
    assert run.settings["lineage"] == [{"name": parent.name, "sha256": parent.sha256}]


def test_offline_the_parents_are_in_the_config_alone(parent):
    run = Run(offline=True)
    tell(run, parent)
    assert [made.name for made in run.logged] == ["chain-second"]
    assert run.settings["lineage"] == [{"name": parent.name, "sha256": parent.sha256}]


def test_a_parent_that_has_changed_or_gone_is_not_taken_for_another(parent):
    run = Run(offline=False)
    tell(run, Parent(parent.name, "0" * 64), Parent("nowhere", "1" * 64))
    assert not run.used
    assert len(run.settings["lineage"]) == 2


def test_the_same_weights_are_the_same_artifact_whoever_speaks_of_them(parent, tmp_path):
    made, used = (artifact(home / parent.name / "zoo", uploads=False) for home in (Path(), tmp_path))
    assert made.name == used.name == "chain-first"
    assert made.digest == used.digest
    assert made.metadata["sha256"] == read_config(Path(parent.name, "zoo")).sha256


@pytest.mark.parametrize("log_model", [False, True])
def test_files_are_uploaded_if_the_logger_shall(parent, log_model):
    run = Run(offline=False)
    tell(run, parent, log_model=log_model)
    for made in run.used + run.logged:
        assert {bool(entry.ref) for entry in made.manifest.entries.values()} == {not log_model}
