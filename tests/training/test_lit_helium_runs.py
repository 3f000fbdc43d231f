"""The language model's training from the command line: resumed, on two processes, tuned, and what it leaves."""

import itertools
import signal
from pathlib import Path

import pytest
import torch
import yaml

from moshi_zoo.data.dialogues import dialogues
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.zoo import folder
from tests.training.runs import POWER_CUT, ROOT, fit, logged, separately

RECIPE = {
    "model": {
        "class_path": "LitHelium",
        "init_args": {
            "net": "${preset:helium-tiny}",
            "optimizer": {"class_path": "AdamW", "init_args": {"lr": 3e-3, "betas": [0.9, 0.95]}},
            "schedule": {"class_path": "WarmupStableDecay", "init_args": {"warmup_steps": 2, "decay_share": 0.5}},
            "accumulate": 2,
            "num_samples": 2,
            "sample_tokens": 8,
        },
    },
    "data": {"class_path": "TextData", "init_args": {"source": "talk.txt", "seq_len": 32, "batch_size": 2}},
    "trainer": {
        "accelerator": "cpu",
        "max_steps": 6,
        "val_check_interval": 6,  # batches: three steps
        "log_every_n_steps": 1,
        "enable_model_summary": False,
    },
}


@pytest.fixture(scope="module")
def text():
    """Documents about many things, one to a line of dialogue."""
    return "\n\n".join(dialogue.text for dialogue in itertools.islice(dialogues(0, "train"), 150))


@pytest.fixture
def words(tmp_path, monkeypatch, text):
    """A command line, in a folder with a text and a recipe for it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOSHI_ZOO_CACHE", str(tmp_path / "cache"))
    Path("talk.txt").write_text(text)
    Path("helium.yaml").write_text(yaml.safe_dump({**RECIPE, "run_name": "straight"}))
    return ["--config", "helium.yaml", "--model.net.vocab_size", 400]


def last(name):
    return torch.load(f"runs/{name}/checkpoints/last.ckpt", weights_only=True)


def test_a_killed_run_ends_with_the_numbers_of_one_that_was_not(words, capfd):
    assert fit(*words) == 0, capfd.readouterr().err
    words += ["--run_name", "broken"]
    cut = separately(*words, "--trainer.callbacks", POWER_CUT, "--trainer.callbacks.after", 5)
    assert cut.returncode == -signal.SIGKILL, cut.stderr
    assert last("broken")["global_step"] == 3
    assert fit(*words, "--ckpt_path", "last") == 0, capfd.readouterr().err
    straight, resumed = logged("straight"), logged("broken")
    assert list(straight) == list(range(1, 12)), "a row a batch, from the first step on"
    assert resumed == straight
    for name, weight in last("straight")["state_dict"].items():
        assert torch.equal(last("broken")["state_dict"][name], weight)
    assert logged("straight", stage="val") == logged("broken", stage="val")


def test_a_run_leaves_a_model_with_its_tokenizer_samples_and_a_start_for_tuning(words, capfd):
    assert fit(*words, "--model.prompts", "['user: what is', 'moshi: ']") == 0, capfd.readouterr().err
    assert folder.load(Path("runs/straight/zoo")).vocab_size == 400
    tokenizer = Tokenizer.load("runs/straight/zoo")
    assert tokenizer.vocab_size == 400, "as many pieces as the net knows"
    samples = sorted(Path("runs/straight/samples").rglob("*.txt"))
    assert [path.parent.name for path in samples] == ["step-000003", "step-000006"]
    assert "== 0: prompt\nuser: what is\n" in samples[-1].read_text()
    best = logged("straight", stage="val")
    assert {"val/loss", "val/perplexity", "val/bits_per_byte"} <= best[max(best)].keys()

    chats = ["--data", "ChatData", "--data.source", "dialogues", "--data.validation_rows", 4, "--run_name", "tuned"]
    few = ["--trainer.max_steps", 2, "--trainer.val_check_interval", 2, "--init_from.net", "runs/straight"]
    assert fit(*words, *chats, *few) == 0, capfd.readouterr().err
    assert Tokenizer.load("runs/tuned/zoo").sha256 == tokenizer.sha256, "spelled as the parent does"
    saved = yaml.safe_load(Path("runs/tuned/config.yaml").read_text())
    assert saved["data"]["init_args"]["tokenizer"] == "runs/straight/zoo/tokenizer.model"


@pytest.mark.distributed
def test_two_processes_train_like_one_whether_they_share_the_batch_or_the_weights_too(words, capfd):
    assert fit(*words, "--data.batch_size", 4) == 0, capfd.readouterr().err
    one = {stage: logged("straight", stage=stage) for stage in ("train", "val")}
    assert (len(one["train"]), len(one["val"])) == (11, 2)
    for strategy in ("ddp", "fsdp"):
        overlay = ["--config", ROOT / f"recipes/with/{strategy}.yaml", "--trainer.devices", 2]
        # sharded, with layers that are made twice
        more = ["--config", ROOT / "recipes/with/checkpointing.yaml"] if strategy == "fsdp" else []
        done = separately(*words, *overlay, *more, "--run_name", strategy)
        assert done.returncode == 0, done.stderr
        for stage, rows in one.items():
            two = logged(strategy, stage=stage)
            for step, row in rows.items():
                assert two[step] == pytest.approx(row, abs=1e-4, rel=1e-4), (strategy, stage, step)
    assert folder.load(Path("runs/fsdp/zoo")).vocab_size == 400
    # and one process goes on with the weights of two
    assert fit(*words, "--data.batch_size", 4, "--trainer.max_steps", 8, "--ckpt_path", "last") == 0
    Path("runs/straight").rename("runs/alone")
    Path("runs/fsdp").rename("runs/straight")
    assert fit(*words, "--data.batch_size", 4, "--trainer.max_steps", 8, "--ckpt_path", "last") == 0
    alone, resumed = logged("alone"), logged("straight")
    assert max(alone) == max(resumed) == 15
    for step in (13, 15):
        assert resumed[step] == pytest.approx(alone[step], abs=1e-4, rel=1e-4)
