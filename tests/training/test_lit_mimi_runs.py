"""The codec's training from the command line: resumed, on two processes, and what it leaves."""

import signal
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import yaml
from lightning.pytorch import Callback

from moshi_zoo.zoo import folder
from tests.training import tones
from tests.training.runs import POWER_CUT, ROOT, fit, logged, separately

ME = "tests.training.test_lit_mimi_runs"

# Everything on at once: optimizers, balancer, weight norm, teacher, draws, codebooks that start on the way, averages.
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
            "codebook_pool": 40,
            "discriminator_probability": 0.7,
            "fade_reconstruction": [4, 7],
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
        "callbacks": [{"class_path": "WeightEMA", "init_args": {"decay": 0.9}}],
    },
}


class KeepCodebooks(Callback):
    """Writes the codebooks of each process at the end."""

    def on_train_end(self, trainer, pl_module):
        rank = dist.get_rank() if dist.is_initialized() else 0
        torch.save(pl_module.net.quantizer.state_dict(), f"codebooks-{trainer.world_size}-{rank}.pt")


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """The recipe, in an empty folder with recordings."""
    monkeypatch.chdir(tmp_path)
    tones.write(tmp_path / "speech", [1.5] * 6)
    path = tmp_path / "codec.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


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


def test_a_run_that_broke_twice_ends_with_the_numbers_of_one_that_did_not(recipe, capfd):
    words = ["--config", recipe, "--model.quantize_from", 5]
    assert fit(*words, "--run_name", "straight") == 0, capfd.readouterr().err
    words += ["--run_name", "broken", "--trainer.callbacks+", POWER_CUT]
    cut = ["--trainer.callbacks.after", 4, "--trainer.callbacks.kill", "true"]
    assert separately(*words, *cut).returncode == -signal.SIGKILL
    saved = torch.load("runs/broken/checkpoints/last.ckpt", weights_only=True)
    assert saved["global_step"] == 3
    assert saved["codebooks"]["latents"], "it broke before the codebooks started"
    words += ["--ckpt_path", "last", "--trainer.callbacks.kill", "false", "--trainer.callbacks.after"]
    assert fit(*words, 7) == 1
    assert "power cut" in capfd.readouterr().err
    assert torch.load("runs/broken/checkpoints/last.ckpt", weights_only=True)["global_step"] == 6
    assert fit(*words, 99) == 0, capfd.readouterr().err
    straight, resumed = logged("straight"), logged("broken")
    assert len(straight) == 8
    assert resumed == straight
    ends = [torch.load(f"runs/{name}/checkpoints/last.ckpt", weights_only=True) for name in ("straight", "broken")]
    for part in ("state_dict", "live_weights", "optimizer_states", "lr_schedulers", "codebooks", "global_step"):
        assert_same(*(end[part] for end in ends), part)
    best = torch.load("runs/straight/checkpoints/best.ckpt", weights_only=True)
    published = folder.read_weights(Path("runs/straight/zoo"))
    plain = published.keys() & best["live_weights"].keys()  # without weight norm
    assert {name for name in plain if "_transformer." in name}
    for name in plain:
        assert torch.equal(published[name], best["state_dict"][f"net.{name}"]), "the zoo folder holds the averages"
        assert not torch.equal(published[name], best["live_weights"][name])


# Few entries: k-means with more of them than latents would turn rounding errors into other codebooks.
SMALL = {
    "model": {
        "init_args": {
            "net": {"init_args": {"quantizer": {"init_args": {"codebook_size": 8}}}},
            "teacher": "${preset:mfcc-teacher-nano}",
            "loss_weights": {"distillation": 1.0},
            "gradients": "balanced",
            "quantize_from": 3,
            "codebook_pool": 40,
            "discriminator_from": 2,
            "num_samples": 1,
        }
    },
    "data": {"init_args": {"source": "speech", "seconds": 0.64, "validation_seconds": 0.8, "validation_items": 4}},
    "trainer": {
        "max_steps": 6,
        "val_check_interval": 6,
        "log_every_n_steps": 1,
        "num_sanity_val_steps": 0,
        "callbacks": {"class_path": f"{ME}.KeepCodebooks"},
    },
}


@pytest.mark.distributed
def test_two_processes_train_like_one_with_the_whole_batch(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    tones.write(tmp_path / "speech", [2.2, 0.4] * 13)  # every other shorter than a segment
    Path("small.yaml").write_text(yaml.safe_dump(SMALL))
    words = ["--config", ROOT / "recipes/nano/mimi.yaml", "--config", "small.yaml"]
    two = ["--config", ROOT / "recipes/with/ddp_gan.yaml", "--trainer.devices", 2, "--data.batch_size", 2]
    done = separately(*words, *two, "--run_name", "two")
    assert done.returncode == 0, done.stderr
    assert fit(*words, "--data.batch_size", 4, "--run_name", "one") == 0, capfd.readouterr().err
    first, second, alone = (torch.load(f"codebooks-{name}.pt") for name in ("2-0", "2-1", "1-0"))
    assert_same(first, second)
    for name, tensor in alone.items():
        torch.testing.assert_close(first[name], tensor, atol=1e-3, rtol=1e-3)
    for stage, count in {"train": 6, "val": 1}.items():
        one, two = logged("one", stage=stage), logged("two", stage=stage)
        assert len(one) == len(two) == count
        for step, row in one.items():
            row.pop("train/constant_cosine", None)  # the mean direction of each process's frames
            assert {name: two[step][name] for name in row} == pytest.approx(row, abs=1e-4, rel=1e-4), step
