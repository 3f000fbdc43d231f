"""Sounds, pictures and texts of a run."""

from types import SimpleNamespace

import pytest
import soundfile
import torch
from lightning.pytorch.loggers import WandbLogger
from PIL import Image

from moshi_zoo.training.samples import log_audio, log_picture, log_texts


def stage(root, **changes):
    trainer = {"default_root_dir": root, "global_step": 12, "is_global_zero": True, "loggers": []}
    return SimpleNamespace(
        trainer=SimpleNamespace(**{**trainer, "fast_dev_run": 0, "sanity_checking": False, **changes})
    )


def test_samples_are_files_of_their_step(tmp_path):
    wav = torch.tensor([[0.0, 0.5, 2.0], [0.0, -0.5, -2.0]])
    log_audio(stage(tmp_path), "val/0", wav, 24_000)
    log_picture(stage(tmp_path), "codes", Image.new("RGB", (4, 3)))
    samples, rate = soundfile.read(tmp_path / "samples/step-000012/val-0.wav")
    assert (samples.shape, rate) == ((3, 2), 24_000)
    assert samples[:, 0] == pytest.approx([0, 0.5, 1], abs=1e-4)
    assert Image.open(tmp_path / "samples/step-000012/codes.png").size == (4, 3)


def test_texts_are_a_file_and_a_table(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    logger = WandbLogger(save_dir=tmp_path)
    tables = []
    monkeypatch.setattr(logger, "log_metrics", lambda metrics, step=None: tables.append((metrics, step)))
    log_texts(stage(tmp_path, loggers=[logger]), "val/x", ["prompt", "continuation"], [["a b", " c\nd"], ["e", ""]])
    assert (tmp_path / "samples/step-000012/val-x.txt").read_text() == (
        "== 0: prompt\na b\n\n== 0: continuation\n c\nd\n\n== 1: prompt\ne\n\n== 1: continuation\n\n"
    )
    ((metrics, step),) = tables
    assert step == 12
    assert metrics["val/x"].columns == ["prompt", "continuation"]
    assert metrics["val/x"].data == [["a b", " c\nd"], ["e", ""]]


@pytest.mark.parametrize("changes", [{"is_global_zero": False}, {"sanity_checking": True}, {"fast_dev_run": 1}])
def test_other_processes_and_trials_write_nothing(tmp_path, changes):
    log_audio(stage(tmp_path, **changes), "x", torch.zeros(1, 8), 24_000)
    log_picture(stage(tmp_path, **changes), "x", Image.new("RGB", (4, 3)))
    log_texts(stage(tmp_path, **changes), "x", ["a"], [["b"]])
    assert not list(tmp_path.iterdir())
