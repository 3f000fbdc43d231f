"""The verb ``chain``: what is done, in which order, and what is not done again."""

import hashlib
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from moshi_zoo import registry
from moshi_zoo.__main__ import main
from moshi_zoo.cli.chain_record import locked
from moshi_zoo.cli.chain_run import INTERRUPTED, in_own_process
from moshi_zoo.zoo import folder

RECIPES = Path(__file__).parents[2] / "recipes"
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
    out: ${here}/tokenizer.model
  second:
    fit: [toy.yaml, slow.yaml]
    init_from:
      net: ${step:first}
    trainer: {max_steps: 4}
"""
STEPS = ("first", "pieces", "second")


def pretend(words):
    """Leaves what the command would leave, and takes no time; weights depend on the words."""
    if words[0] == "fit":
        where = Path("runs", words[words.index("--run_name") + 1])
        spec = registry.to_portable(registry.preset("toy-tiny"))
        tensors = registry.build("toy-tiny").state_dict()
        digest = hashlib.sha256(" ".join([*words, *(Path(w).read_text() for w in words if w[-5:] == ".yaml")]).encode())
        tensors["seen"] = torch.tensor(float(digest.digest()[0]))
        (where / "checkpoints").mkdir(parents=True, exist_ok=True)
        if "--model.interrupt_at=5" in words:
            (where / "checkpoints/last.ckpt").touch()
            return INTERRUPTED
        if "--model.fail_at=2" in words:
            return 1
        folder.save(where / "zoo", spec, tensors, stage="LitToy")
    else:
        (out,) = (Path(word.removeprefix("--out=")) for word in words if word.startswith("--out="))
        out.touch()
    return 0


@pytest.fixture
def chain(recipe, monkeypatch, capsys):
    """Runs the toy chain with pretended commands: ``code, out, err, commands = chain("--set", ...)``."""
    Path("slow.yaml").write_text("model: {init_args: {optimizer: {class_path: SGD, init_args: {lr: 0.001}}}}\n")
    Path("chain.yaml").write_text(CHAIN)
    commands: list[list[str]] = []

    def command(words):
        commands.append(words)
        return pretend(words)

    monkeypatch.setattr("moshi_zoo.cli.chain_run.in_own_process", lambda lock: command)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        commands.clear()
        code = main(["chain", "chain.yaml", *words])
        return code, *capsys.readouterr(), list(commands)

    return run


@pytest.fixture
def unchecked(monkeypatch):
    """To read each step's options takes a moment; tests of what is done need not."""
    monkeypatch.setattr("moshi_zoo.cli.chain_run.check", lambda step: None)


def replace(old, new, path="chain.yaml"):
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new))


def done(commands):
    """Which steps were run."""
    fits = {"toys/first": "first", "toys/second": "second"}
    return [fits[words[words.index("--run_name") + 1]] if words[0] == "fit" else "pieces" for words in commands]


def test_steps_are_done_in_order_and_the_table_says_where_their_results_are(chain):
    code, out, err, commands = chain()
    assert code == 0, err
    assert done(commands) == list(STEPS)
    assert commands[2] == [
        *("fit", "--config", "toy.yaml", "--config", "slow.yaml", "--run_name", "toys/second"),
        *("--init_from.net=runs/toys/first", "--trainer.max_steps=4"),
    ]
    assert commands[1] == [
        *("tokenizer", "train", "dialogues"),
        *("--vocab_size=400", "--out=runs/toys/pieces/tokenizer.model"),
    ]
    assert all(f"runs/toys/{name}" in out for name in STEPS)


@pytest.mark.usefixtures("unchecked")
def test_what_is_done_and_unchanged_is_skipped(chain):
    chain()
    Path("toy.yaml").write_text("# a comment changes nothing\n" + Path("toy.yaml").read_text())
    code, out, _, commands = chain()
    assert code == 0
    assert commands == []
    assert out.count("done and unchanged") == 3


@pytest.mark.usefixtures("unchecked")
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
    assert chain()[3] == []


@pytest.mark.usefixtures("unchecked")
def test_a_model_from_outside_counts_by_its_weights(chain):
    pretend(["fit", "--run_name", "other"])
    replace("${step:first}", "other")
    chain()
    pretend(["fit", "--run_name", "other", "--model.more=1"])
    _, out, _, commands = chain()
    assert done(commands) == ["second"]
    assert "the model other has changed" in out


@pytest.mark.usefixtures("unchecked")
def test_a_stage_that_was_stopped_goes_on_unless_it_was_changed(chain):
    code, out, _, commands = chain("--set", "first.model.interrupt_at=5")
    assert (code, done(commands)) == (INTERRUPTED, ["first"])
    assert "stopped" in out
    assert out.count("not reached") == 2
    _, _, _, commands = chain("--set", "first.model.interrupt_at=5")
    assert commands[0][-2:] == ["--ckpt_path", "last"]
    code, out, _, commands = chain()
    assert code == 0
    assert "model.interrupt_at was 5, is not set" in out
    assert "--ckpt_path" not in commands[0], "another description, another run"
    assert Path("runs/toys/first.1/checkpoints/last.ckpt").exists()


@pytest.mark.usefixtures("unchecked")
def test_a_stage_that_failed_ends_the_chain_and_is_tried_again(chain):
    code, out, _, commands = chain("--set", "first.model.fail_at=2")
    assert (code, done(commands)) == (1, ["first"])
    assert "The step 'first' is not done" in out
    _, out, _, commands = chain("--set", "first.model.fail_at=2")
    assert "stopped before its first checkpoint" in out
    assert "--ckpt_path" not in commands[0]


@pytest.mark.usefixtures("unchecked")
def test_a_result_that_is_gone_is_made_again(chain):
    chain()
    Path("runs/toys/pieces/tokenizer.model").unlink()
    _, out, _, commands = chain()
    assert done(commands) == ["pieces"]
    assert "its result is gone" in out


@pytest.mark.usefixtures("unchecked")
def test_what_others_have_left_there_is_moved_aside(chain):
    Path("runs/toys/pieces").mkdir(parents=True)
    Path("runs/toys/pieces/precious").write_text("")
    chain()
    assert Path("runs/toys/pieces.1/precious").exists()


@pytest.mark.usefixtures("unchecked")
def test_weights_changed_by_another_command_are_kept_and_passed_on(chain):
    chain()
    pretend(["fit", "--run_name", "toys/first", "--model.more=1"])
    _, out, _, commands = chain()
    assert "another command has changed its weights" in out
    assert done(commands) == ["second"]


def test_a_dry_run_says_what_would_be_done_and_does_nothing(chain):
    code, out, _, commands = chain("--dry-run")
    assert (code, commands) == (0, [])
    assert "[3/3] second: start (not done yet)" in out
    assert "--init_from.net=runs/toys/first" in out
    assert not Path("runs").exists()


@pytest.mark.usefixtures("unchecked")
def test_some_steps_can_be_asked_for(chain):
    code, _, err, commands = chain("--only-step", "second")
    assert (code, commands) == (2, [])
    assert "the step 'second' needs the result of 'first', which is not done" in err
    chain()
    assert done(chain("--only-step", "second")[3]) == ["second"]
    assert done(chain("--from-step", "pieces")[3]) == ["pieces", "second"]
    assert chain()[3] == []


@pytest.mark.usefixtures("unchecked")
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
        (
            "vocab_size: 400",
            "vocab_sizes: 400",
            "the step 'pieces' is no command: moshi_zoo tokenizer train: no option",
        ),
        ("trainer.max_steps: 4", "trainer.max_stepz: 4", "did you mean --trainer.max_steps"),
        ("trainer.max_steps: 4", "run_name: x", "run_name is given by the chain"),
        ("run_name: toys", "run_name: ../toys", "must name a folder inside runs/"),
        ("run_name: toys", "name: toys", "no entry of a chain is called 'name'; did you mean run_name?"),
        ("steps:", "stages:", "chain.yaml is no chain: it needs"),
        ("  first:\n", "  first: [\n", "chain.yaml is no YAML"),
    ],
)
def test_what_cannot_be_run_is_said_in_one_line_before_anything_is_done(chain, old, new, message):
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


@pytest.mark.usefixtures("unchecked")
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


@pytest.fixture
def sleeper(tmp_path, monkeypatch):
    """A program that is started instead of a step; it says that it runs, and waits for the end."""
    script = tmp_path / "sleeper"
    script.write_text("#!/bin/sh\necho $$ > pid\nexec sleep 60\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(script))
    monkeypatch.chdir(tmp_path)


def when_it_runs(act):
    def watch():
        while not (path := Path("pid")).exists() or not path.read_text().strip():
            time.sleep(0.01)
        act(int(path.read_text()))

    threading.Thread(target=watch, daemon=True).start()


@pytest.mark.usefixtures("sleeper")
def test_sigterm_is_passed_on_to_the_step():
    when_it_runs(lambda pid: os.kill(os.getpid(), signal.SIGTERM))
    with locked(Path("runs/x")) as lock:
        assert in_own_process(lock)(["fit"]) == INTERRUPTED
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.usefixtures("sleeper")
def test_a_killed_step_is_a_failure_and_its_folder_was_locked_while_it_ran():
    refused = []

    def act(pid):
        try:
            with locked(Path("runs/x")):
                pass
        except ValueError as error:
            refused.append(str(error))
        os.kill(pid, signal.SIGKILL)

    when_it_runs(act)
    with locked(Path("runs/x")) as lock:
        command = in_own_process(lock)
        lock.flush()
        assert command(["fit"]) == 128 + signal.SIGKILL
    assert refused


REAL = f"""\
run_name: tiny
steps:
  pieces:
    tokenizer: train
    sources: text
    vocab_size: 300
    out: ${{here}}/tokenizer.model
  helium:
    fit: {RECIPES}/nano/helium.yaml
    model.net: ${{preset:helium-tiny}}
    model.net.vocab_size: 300
    model.sample_tokens: 2
    data: {{source: text, seq_len: 16, batch_size: 1, validation_rows: 1}}
    data.tokenizer: ${{step:pieces}}/tokenizer.model
    trainer: {{max_steps: 12, val_check_interval: 2, num_sanity_val_steps: 0, enable_progress_bar: false}}
"""


def test_a_chain_of_real_stages_goes_on_after_a_kill_and_then_has_nothing_to_do(tmp_path, monkeypatch, moshi_zoo):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOSHI_ZOO_CACHE", "cache")
    monkeypatch.setenv("COLUMNS", "200")
    Path("text").mkdir()
    Path("text/a.txt").write_text("\n".join(f"After {i} comes {i**5:x}." for i in range(400)))
    Path("chain.yaml").write_text(REAL)
    processes = []

    class Popen(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            processes.append(self)

    def kill_after_the_first_checkpoint():
        while not Path("runs/tiny/helium/checkpoints/last.ckpt").exists():
            time.sleep(0.005)
        processes[0].kill()

    def first_in_its_own_process_then_here(lock):  # where everything is imported already
        own = in_own_process(lock)
        return lambda words: own(words) if words[0] == "fit" and not processes else main(words)

    monkeypatch.setattr("subprocess.Popen", Popen)
    monkeypatch.setattr("moshi_zoo.cli.chain_run.in_own_process", first_in_its_own_process_then_here)
    threading.Thread(target=kill_after_the_first_checkpoint, daemon=True).start()
    code, out, err = moshi_zoo("chain", "chain.yaml")
    assert code == 128 + signal.SIGKILL, err
    assert "failed" in out
    code, out, err = moshi_zoo("chain", "chain.yaml")
    assert code == 0, err
    assert "it was not finished: on from its last checkpoint" in out
    steps = [line.split(",")[0] for line in Path("runs/tiny/helium/metrics.csv").read_text().splitlines()[1:]]
    assert {"1", "11"} <= set(steps), "one run, in one folder"
    code, out, _ = moshi_zoo("chain", "chain.yaml")
    assert (code, out.count("done and unchanged")) == (0, 2)
