"""The verb ``chain``: what is done, in which order, and what is not done again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from moshi_zoo.__main__ import main
from moshi_zoo.cli import chain as verb
from moshi_zoo.cli.chain_record import Record, locked
from moshi_zoo.cli.chain_recipe import read_chain
from moshi_zoo.zoo.config import read_config

CHAIN = """\
run_name: toys
steps:
  first:
    fit: toy.yaml
    trainer.max_steps: 4
  pieces:
    tokenizer: train
    sources: dialogues
    vocab_size: 400
    max_lines: 2000
    out: ${here}/tokenizer.model
  second:
    fit: [toy.yaml, slow.yaml]
    init_from:
      net: ${step:first}
    trainer: {max_steps: 4}
"""
STEPS = ("first", "pieces", "second")


@pytest.fixture
def chain(recipe, monkeypatch, capsys):
    """Runs the toy chain in this process: ``code, out, err, commands = chain("--set", ...)``."""
    Path("slow.yaml").write_text("model: {init_args: {optimizer: {class_path: SGD, init_args: {lr: 0.001}}}}\n")
    Path("chain.yaml").write_text(CHAIN)
    commands: list[list[str]] = []

    def command(words):
        commands.append(words)
        return main(words)

    monkeypatch.setattr("moshi_zoo.cli.chain_run.in_own_process", lambda lock: command)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        commands.clear()
        code = main(["chain", "chain.yaml", *words])
        return code, *capsys.readouterr(), list(commands)

    return run


def replace(old, new, path="chain.yaml"):
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new))


def done(commands):
    """Which steps were run."""
    return [words[words.index("--run_name") + 1].rpartition("/")[2] if words[0] == "fit" else "pieces" for words in commands]


def test_each_step_starts_from_those_before_it(chain):
    code, out, err, commands = chain()
    assert code == 0, err
    assert done(commands) == list(STEPS)
    first, second = read_config(Path("runs/toys/first/zoo")), read_config(Path("runs/toys/second/zoo"))
    assert [(p.name, p.sha256) for p in second.parents] == [("runs/toys/first", first.sha256)]
    assert Path("runs/toys/pieces/tokenizer.model").is_file()
    assert all(f"runs/toys/{name}" in out for name in STEPS)


def test_what_is_done_and_unchanged_is_skipped(chain):
    chain()
    Path("toy.yaml").write_text("# a comment changes nothing\n" + Path("toy.yaml").read_text())
    code, out, _, commands = chain()
    assert code == 0
    assert commands == []
    assert out.count("done and unchanged") == 3


@pytest.mark.parametrize(
    ("path", "old", "new", "again", "reason"),
    [
        ("slow.yaml", "0.001", "0.002", ["second"], "slow.yaml has changed"),
        ("chain.yaml", "400", "500", ["pieces"], "vocab_size was 400, is 500"),
        ("chain.yaml", "{max_steps: 4}", "{max_steps: 5}", ["second"], "trainer.max_steps was 4, is 5"),
        ("chain.yaml", "max_steps: 4\n  p", "max_steps: 3\n  p", ["first", "second"], "the step 'first' has changed"),
        ("toy.yaml", "lr: 0.01", "lr: 0.02", ["first", "second"], "toy.yaml has changed"),
        ("chain.yaml", "[toy.yaml, slow.yaml]", "toy.yaml", ["second"], "slow.yaml is no longer used"),
    ],
)
def test_what_has_changed_is_done_anew_with_all_that_comes_from_it(chain, path, old, new, again, reason):
    chain()
    before = {name: Path(f"runs/toys/{name}").stat().st_ino for name in STEPS}
    replace(old, new, path)
    _, planned, _, _ = chain("--dry-run")
    _, out, _, commands = chain()
    assert done(commands) == again
    assert reason in planned
    assert reason in out
    for name in STEPS:  # nothing is lost
        aside = Path(f"runs/toys/{name}.1")
        assert (aside if name in again else Path(f"runs/toys/{name}")).stat().st_ino == before[name]
        assert aside.exists() == (name in again)


def test_a_stage_that_was_stopped_goes_on(chain):
    code, out, _, commands = chain("--set", "second.trainer.max_steps=8", "second.model.interrupt_at=5")
    assert code == 130
    assert done(commands) == list(STEPS)
    assert "stopped" in out
    code, _, err, commands = chain("--set", "second.trainer.max_steps=8", "second.model.interrupt_at=5")
    assert code == 130, "the same thing happens again"
    assert commands[0][-2:] == ["--ckpt_path", "last"]
    code, out, _, commands = chain("--set", "second.trainer.max_steps=8")
    assert code == 0
    assert "second.model.interrupt_at" not in out
    assert "model.interrupt_at was 5, is not set" in out
    assert "--ckpt_path" not in commands[0], "another description, another run"


def test_a_stage_that_failed_stops_the_chain_and_is_tried_again(chain):
    code, out, _, commands = chain("--set", "first.model.fail_at=2")
    assert (code, done(commands)) == (1, ["first"])
    assert "not reached" in out
    code, out, _, commands = chain("--set", "first.model.fail_at=2")
    assert "stopped before its first checkpoint" in out
    assert "--ckpt_path" not in commands[0]
    assert chain()[0] == 0


def test_a_result_that_is_gone_is_made_again(chain):
    chain()
    Path("runs/toys/pieces/tokenizer.model").unlink()
    _, out, _, commands = chain()
    assert done(commands) == ["pieces"]
    assert "its result is gone" in out


def test_results_of_others_are_moved_aside(chain):
    Path("runs/toys/pieces").mkdir(parents=True)
    Path("runs/toys/pieces/precious").write_text("")
    chain()
    assert Path("runs/toys/pieces.1/precious").exists()


def test_weights_changed_by_hand_are_kept_and_passed_on(chain):
    chain()
    main(["fit", "--config", "toy.yaml", "--run_name", "toys/first", "--trainer.max_steps=2"])
    _, out, _, commands = chain()
    assert "another command has changed its weights" in out
    assert done(commands) == ["second"]


def test_a_dry_run_says_what_would_be_done_and_does_nothing(chain):
    code, out, _, commands = chain("--dry-run")
    assert (code, commands) == (0, [])
    assert "[3/3] second: start (not done yet)" in out
    assert "--init_from.net=runs/toys/first" in out
    assert not Path("runs").exists()


def test_some_steps_can_be_asked_for(chain):
    code, _, err, commands = chain("--only-step", "second")
    assert (code, commands) == (2, [])
    assert "the step 'second' needs the result of 'first', which is not done" in err
    chain()
    assert done(chain("--only-step", "second")[3]) == ["second"]
    assert done(chain("--from-step", "pieces")[3]) == ["pieces", "second"]
    assert chain()[3] == []


def test_another_name_is_another_chain(chain):
    chain()
    assert len(chain("--run-name", "again")[3]) == 3
    assert Path("runs/again/second/zoo").is_dir()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("${step:first}", "${step:frist}", "step 'second': no step is called 'frist'; did you mean first?"),
        ("${step:first}", "${step:second}", "its own folder is ${here}"),
        ("sources: dialogues", "sources: ${step:second}", "takes the result of 'second', which comes after it"),
        ("fit: toy.yaml", "fit: toyy.yaml", "step 'first': no recipe is called 'toyy.yaml'"),
        ("fit: toy.yaml", "fitt: toy.yaml", "no verb of a chain is called 'fitt'; did you mean fit?"),
        ("tokenizer: train", "tokenizer: trian", "no kind of tokenizer is called 'trian'; did you mean train?"),
        ("out: ${here}/tokenizer.model", "out: tokenizer.model", "its result goes to ${here}"),
        ("vocab_size: 400", "vocab_sizes: 400", "did you mean --vocab_size?"),
        ("trainer.max_steps: 4", "trainer.max_stepz: 4", "did you mean max_steps?"),
        ("trainer.max_steps: 4", "run_name: x", "run_name is given by the chain"),
        ("run_name: toys", "run_name: ../toys", "must name a folder inside runs/"),
        ("run_name: toys", "name: toys", "no entry of a chain is called 'name'; did you mean run_name?"),
        ("steps:", "stages:", "chain.yaml is no chain"),
        ("  first:\n", "  first: [\n", "chain.yaml is no YAML"),
    ],
)
def test_what_cannot_be_run_is_said_in_one_line_before_anything_is(chain, old, new, message):
    replace(old, new)
    code, _, err, commands = chain()
    assert (code, commands) == (2, [])
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--set", "frist.seed=1"), "no step is called 'frist'; did you mean first?"),
        (("--set", "first=1"), "say STEP.OPTION=VALUE"),
        (("--only-step", "secnd"), "no step is called 'secnd'; did you mean second?"),
        (("--from-step", "first", "--only-step", "first"), "not both"),
    ],
)
def test_wrong_words_are_refused(chain, words, message):
    code, _, err, _ = chain(*words)
    assert code == 2
    assert message in err


def test_two_chains_do_not_share_a_folder(chain):
    with locked(Path("runs/toys")):
        code, _, err, commands = chain()
    assert (code, commands) == (2, [])
    assert "another chain is at work in runs/toys" in err
    assert chain()[0] == 0


def test_a_damaged_record_is_reported(chain):
    Path("runs/toys").mkdir(parents=True)
    Path("runs/toys/chain.json").write_text('{"steps"')
    code, _, err, _ = chain()
    assert code == 2
    assert "runs/toys/chain.json is damaged" in err
