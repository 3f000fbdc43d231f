"""The codec's training from the command line: resumed, on two processes, and what it leaves."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import yaml
from lightning.pytorch import Callback
from tests.training import tones

import moshi_zoo
from moshi_zoo.__main__ import main

ROOT = Path(__file__).parents[2]
ME = "tests.training.test_lit_mimi_runs"

# Everything on at once: two optimizers, balancer, weight norm, teacher, draws, codebooks that start on the way.
RECIPE = {
    "model": {
        "class_path": "LitMimi",
        "init_args": {
            "net": "${preset:mimi-tiny}",
            "discriminator": "${preset:stft-tiny}",
            "teacher": "${preset:mfcc-teacher-nano}",
            "generator_optimizer": {"class_path": "AdamW", "init_args": {"lr": 2e-3}},
            "discriminator_optimizer": {"class_path": "AdamW", "init_args": {"lr": 2e-3}},
            "warmup_steps": 2,
            "codebook_pool": 20,
            "discriminator_every": 2,
            "num_samples": 1,
        },
    },
    "data": {
        "class_path": "SegmentData",
        "init_args": {
            "source": "speech",
            "seconds": 0.32,
            "batch_size": 2,
            "validation_seconds": 0.5,
            "validation_items": 2,
        },
    },
    "trainer": {
        "accelerator": "cpu",
        "max_steps": 8,
        "limit_train_batches": 5,  # 8 steps are more than an epoch
        "val_check_interval": 3,
        "check_val_every_n_epoch": None,
        "log_every_n_steps": 1,
        "num_sanity_val_steps": 0,
        "enable_model_summary": False,
    },
}


class PowerCut(Callback):
    """Saves every four steps, and ends the process or raises an error after the sixth."""

    def __init__(self, *, kill: bool):
        self.kill = kill

    def on_train_batch_end(self, trainer, pl_module, *args):
        if trainer.global_step == 6:
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("power cut")


class KeepCodebooks(Callback):
    """Writes the codebooks of each process at the end."""

    def on_train_end(self, trainer, pl_module):
        rank = dist.get_rank() if dist.is_initialized() else 0
        torch.save(pl_module.net.quantizer.state_dict(), f"codebooks-{trainer.world_size}-{rank}.pt")


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """The recipe, in an empty folder with recordings."""
    monkeypatch.chdir(tmp_path)
    tones.write(tmp_path / "speech", 6, seconds=1.5)
    path = tmp_path / "codec.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


def fit(*words):
    return main(["fit", *map(str, words)])


def separately(*words):
    """In a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "moshi_zoo", "fit", *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def losses(name):
    """What each step logged; where a step was made twice, the second time."""
    with Path(f"runs/{name}/metrics.csv").open() as file:
        return {row["step"]: row for row in csv.DictReader(file) if row["train/spectral"]}


def assert_same(a, b, where="checkpoint"):
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}.{i}")
    else:
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b, where


@pytest.mark.parametrize(
    ("quantize_from", "kill"), [(2, True), (5, False)], ids=["killed_after_the_codebooks_started", "before_they_start"]
)
def test_a_run_that_broke_goes_on_with_the_same_numbers(recipe, quantize_from, kill, capfd):
    words = ["--config", recipe, "--model.quantize_from", quantize_from]
    assert fit(*words, "--run_name", "straight") == 0, capfd.readouterr().err
    saves = {"class_path": "moshi_zoo.training.run_checkpoint.RunCheckpoint", "init_args": {"every_n_steps": 4}}
    cut = {"class_path": f"{ME}.PowerCut", "init_args": {"kill": kill}}
    Path("cut.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks": [saves, cut]}}))
    broken = [*words, "--run_name", "broken", "--config", "cut.yaml"]
    assert separately(*broken).returncode == -signal.SIGKILL if kill else fit(*broken) == 1
    saved = torch.load("runs/broken/checkpoints/last.ckpt", weights_only=True)
    assert saved["global_step"] == 4
    assert bool(saved["codebooks"]["latents"]) == (quantize_from > 4)
    assert fit(*words, "--run_name", "broken", "--ckpt_path", "last") == 0, capfd.readouterr().err
    straight, resumed = losses("straight"), losses("broken")
    assert len(straight) == 8
    assert resumed == straight
    ends = [torch.load(f"runs/{n}/checkpoints/last.ckpt", weights_only=True) for n in ("straight", "broken")]
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "codebooks", "global_step"):
        assert_same(*(end[part] for end in ends), part)
