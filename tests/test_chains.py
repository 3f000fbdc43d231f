"""Every chain in recipes/ holds together, at its full size: shapes are compared, nothing is trained."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from moshi_zoo.cli import trainer
from moshi_zoo.cli.chain_recipe import FIT, Chain, Step, read_chain
from moshi_zoo.cli.chain_run import check
from moshi_zoo.modules.conv import folded_state_dict
from moshi_zoo.training.stage import Stage

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "recipes"
CHAINS = sorted(RECIPES.rglob("chain*.yaml"))


def name(path: Path) -> str:
    return str(path.relative_to(RECIPES))


def stage_of(step: Step) -> Stage:
    """The stage that a step would train, without memory."""
    words = [word for word in step.words[1:] if not word.startswith("--init_from")]
    stage = trainer.run([*words, "--config", str(RECIPES / "with/cpu.yaml")]).model
    with torch.device("meta"):
        stage.configure_model()
    return stage


def tensors(net: nn.Module, part: str = "net") -> dict[str, Tensor]:
    return folded_state_dict(net if part == "net" else net.get_submodule(part))


def starts(chain: Chain, step: Step) -> dict[str, Step]:
    """Part of the net -> step that it starts from."""
    parts = {key.removeprefix("init_from."): value for key, value in step.options.items() if key[:10] == "init_from."}
    return {part: chain[Path(str(folder)).name] for part, folder in parts.items()}


def test_there_are_chains():
    assert {name(path) for path in CHAINS} >= {"nano/chain.yaml", "moshi/chain.yaml"}


@pytest.mark.parametrize("path", CHAINS, ids=name)
def test_the_steps_of_a_chain_are_commands_and_each_stage_can_start_from_those_before_it(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    chain = read_chain(path)
    stages = {}
    for step in chain.steps:
        if step.verb == FIT:
            stages[step.name] = stage_of(step)
        else:
            check(step)
    compared = 0
    for step in chain.steps:
        for part, parent in starts(chain, step).items():
            stage = stages[step.name]
            prefix = "" if part == "net" else f"{part}."
            given, wanted = tensors(stages[parent.name].net), tensors(stage.net, part)
            wanted = {k: v for k, v in wanted.items() if k in given or not stage.may_start_new(prefix + k)}
            assert {k: v.shape for k, v in given.items()} == {k: v.shape for k, v in wanted.items()}, step.name
            compared += 1
    assert compared, "a chain has links"
