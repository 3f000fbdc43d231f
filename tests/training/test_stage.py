"""The base of all stages."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer

from moshi_zoo import registry
from moshi_zoo.cli import trainer as cli
from tests import toys


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A stage as the command line makes it."""
    monkeypatch.chdir(tmp_path)
    net = ["--model.net", "tests.toys.Toy", "--model.net.dim", "8", "--model.net.scale", "ToyScale"]
    return cli.run(["--model", "LitToy", *net, "--data", "ToyData", "--trainer.accelerator", "cpu"]).model


def test_the_net_is_made_late_and_once(made):
    assert "net" not in made._modules
    made.configure_model()
    net = made.net
    made.configure_model()
    assert made.net is net


def test_the_spec_is_portable_and_rebuilds_the_net(made):
    made.configure_model()
    assert made.spec["component"] == "toy"
    assert made.spec["init_args"]["scale"] == {"component": "toy-scale", "init_args": {"start": 1.0}}
    again = registry.instantiate(registry.from_portable(made.spec))
    again.load_state_dict(made.zoo_weights())


def test_hyper_parameters_are_plain_so_that_checkpoints_load_without_unpickling(made, tmp_path):
    made.configure_model()
    trainer = Trainer(
        max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(made, toys.ToyData())
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    back = toys.LitToy.load_from_checkpoint(tmp_path / "x.ckpt", weights_only=True)
    assert torch.equal(back.net.linear.weight, made.net.linear.weight)


def test_a_stage_made_of_a_function_trains_but_has_no_spec(tmp_path):
    stage = toys.LitToy(partial(toys.Toy, 8))
    trainer = Trainer(
        max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(stage, toys.ToyData())
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    torch.load(tmp_path / "x.ckpt", weights_only=True)
    with pytest.raises(ValueError, match="was given a function"):
        _ = stage.spec
