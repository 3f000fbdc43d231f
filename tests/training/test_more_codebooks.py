"""Codebooks added to a trained codec: the codes it made before stay what they were."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import yaml
from lightning.pytorch import Callback

import moshi_zoo
from moshi_zoo import registry
from moshi_zoo.__main__ import main
from moshi_zoo.training import init_from
from moshi_zoo.zoo import folder
from tests.training import tones

ROOT = Path(__file__).parents[2]
ME = "tests.training.test_more_codebooks"
OLD, NEW = 4, 7

RECIPE = {
    "model": {
        "class_path": "LitMimi",
        "init_args": {
            "net": "${preset:mimi-tiny}",
            "train": "decoder_and_new_codebooks",
            "loss_weights": {"adversarial": 0, "feature": 0, "distillation": 0},
            "generator_optimizer": {"class_path": "AdamW", "init_args": {"lr": 2e-3}},
            "quantize_from": 3,
            "codebook_pool": 400,
            "num_samples": 0,
        },
    },
    "data": {
        "class_path": "SegmentData",
        "init_args": {"source": "speech", "seconds": 1.28, "batch_size": 4, "validation_seconds": 0.5},
    },
    "trainer": {
        "accelerator": "cpu",
        "max_steps": 6,
        "val_check_interval": 2,
        "limit_val_batches": 1,
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
def codec(tmp_path, monkeypatch):
    """A codec of 4 codebooks, which lies in checkpoints/codec; beside it recordings and the recipe."""
    monkeypatch.chdir(tmp_path)
    tones.write(tmp_path / "speech", [1.5] * 6)
    (tmp_path / "codec.yaml").write_text(yaml.safe_dump(RECIPE))
    codec = registry.build("mimi-tiny").eval()
    with torch.no_grad():
        latents = [codec.encode_latent(gain * clips()).transpose(1, 2).flatten(0, 1) for gain in (0.3, 0.5, 1, 2)]
    codec.quantizer.initialize(torch.cat(latents), seed=0)
    spec = registry.to_portable(registry.preset("mimi-tiny"))
    folder.save(Path("checkpoints/codec"), spec, codec.state_dict(), stage="a")
    return codec


def clips():
    return torch.stack([item["wav"] for item in tones.clips(8, frames=8)])


WORDS = ["--config", "codec.yaml", "--init_from.net", "codec", "--model.net.quantizer.num_codebooks", NEW]


def fit(*words):
    return main(["fit", *map(str, words)])


def logged(name, metric):
    with Path(f"runs/{name}/metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row.get(metric)]
    return {int(row["step"]): float(row[metric]) for row in rows}


def test_the_old_codes_stay_and_the_new_codebooks_bring_the_latents_nearer(codec, capfd):
    assert fit(*WORDS) == 0, capfd.readouterr().err
    made = moshi_zoo.load("runs/debug")
    assert made.quantizer.num_started == NEW
    assert torch.equal(made.encode(clips())[:, :OLD], codec.encode(clips()))
    with torch.no_grad():
        latent = made.quantizer.unquantized(made.encode_latent(clips()))
        far, near = ((made.quantizer.decode(made.encode(clips(), k)) - latent).square().mean() for k in (OLD, NEW))
        assert not torch.equal(made.decode(codec.encode(clips())), codec.decode(codec.encode(clips())))
    assert near < far
    changed = {name for name, tensor in codec.state_dict().items() if not torch.equal(tensor, made.state_dict()[name])}
    assert {name.partition(".")[0] for name in changed} == {"upsample", "decoder_transformer", "decoder"}


def test_what_is_new_is_reported_and_the_old_codebooks_are_used_before_the_new_ones_start(codec, monkeypatch):
    told = []
    monkeypatch.setattr(init_from, "rank_zero_info", told.append)
    assert fit(*WORDS, "--model.quantize_from", 4, "--trainer.val_check_interval", 2) == 0
    report = [line.split() for line in told[0].splitlines() if line.startswith("  new")]
    sizes = [t.numel() for name, t in codec.state_dict().items() if "acoustic.codebooks.0." in name]
    assert report == [["new", str(3 * (NEW - OLD)), "tensors", f"{(NEW - OLD) * sum(sizes):,}", "numbers"]]
    assert list(logged("debug", "train/commitment")) == list(range(6)), "quantized from the first step"
    assert list(logged("debug", "val/used_0")) == [3, 5], "the use of codebooks is measured when all have started"


def test_a_run_that_stopped_before_and_after_the_start_ends_like_one_that_did_not(codec, capfd):
    words = [*WORDS, "--trainer.callbacks+", f"{ME}.KeepCodebooks"]
    assert fit(*words, "--run_name", "straight") == 0, capfd.readouterr().err
    whole = torch.load("codebooks-1-0.pt")
    for stop in (2, 4, 6):
        resume = ["--ckpt_path", "last"] if stop > 2 else []
        assert fit(*words, *resume, "--run_name", "broken", "--trainer.max_steps", stop, "--model.final_lr", 1) == 0
        latest = torch.load("runs/broken/checkpoints/last.ckpt", weights_only=True)["codebooks"]
        assert latest["num_kept"] == OLD
        assert bool(latest["latents"]) == (stop == 2)
    broken = torch.load("codebooks-1-0.pt")
    assert whole.keys() == broken.keys()
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


@pytest.mark.distributed
def test_two_processes_add_the_same_codebooks(codec):
    words = [*WORDS, "--config", ROOT / "recipes/with/ddp_gan.yaml", "--trainer.devices", 2, "--data.batch_size", 2]
    words += ["--trainer.callbacks+", f"{ME}.KeepCodebooks"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "moshi_zoo", "fit", *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(f"codebooks-2-{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(torch.equal(first[name], tensor) for name, tensor in codec.quantizer.state_dict().items())
    assert all(first[f"acoustic.codebooks.{level}.initialized"] for level in range(OLD - 1, NEW - 1))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (WORDS[:4], "4 of the codec's 4 codebooks have been trained: start it with .* of a model with fewer"),
        (WORDS[:2] + WORDS[4:], "0 of the codec's 7 codebooks have been trained: start it with --init_from.net MODEL"),
        ([*WORDS, "--model.train", "all"], "missing: quantizer.acoustic.codebooks.3.embedding_sum"),
        ([*WORDS, "--model.teacher", "${preset:mfcc-teacher-nano}", "--model.loss_weights.distillation", 1], "teacher"),
    ],
    ids=["none are new", "none are old", "without saying so", "teacher"],
)
def test_codebooks_are_added_to_a_codec_that_fits_and_has_fewer(codec, capfd, words, message):
    assert fit(*words) == 2
    assert re.search(message, capfd.readouterr().err)
