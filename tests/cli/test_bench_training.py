"""Where the time of a training step goes."""

from types import SimpleNamespace

import pytest
import yaml

from moshi_zoo.__main__ import main
from moshi_zoo.cli.bench_training import bench_training, shares

RECIPE = {
    "model": {
        "class_path": "LitMimi",
        "init_args": {"net": "${preset:mimi-tiny}", "discriminator": "${preset:stft-tiny}", "quantize_from": 100},
    },
    "data": {"class_path": "SegmentData", "init_args": {"seconds": 0.32, "batch_size": 2}},
}


def event(name, *, time=0.0, number=-1, parent=None):
    return SimpleNamespace(name=name, self_cpu_time_total=time, sequence_nr=number, cpu_parent=parent)


def test_a_backward_operation_belongs_to_the_part_of_its_forward_operation():
    part = event("part: encoder")
    engine = event("autograd::engine::evaluate_function: MulBackward0", number=7)
    events = [
        part,
        event("mul", time=1.0, number=7, parent=part),
        engine,
        event("MulBackward0", time=2.0, number=7, parent=engine),
        event("mul", time=0.5, parent=event("Optimizer.step#AdamW.step")),
        event("add", time=0.5, number=8),
    ]
    found = shares(events, on_gpu=False)
    assert {name: share for name, share in found.items() if share} == {
        "encoder": 0.75,
        "optimizers": 0.125,
        next(name for name in found if name.startswith("the rest")): 0.125,
    }


def test_a_recipes_steps_are_measured_with_everything_at_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "codec.yaml").write_text(yaml.safe_dump(RECIPE))
    speed = bench_training(tmp_path / "codec.yaml", device="cpu", rounds=1)
    assert speed.audio_per_second == pytest.approx(0.64 / speed.seconds_per_step)
    assert sum(speed.shares.values()) == pytest.approx(1)
    busy = {name for name, share in speed.shares.items() if share > 0}
    assert {"encoder", "decoder", "quantizer", "spectral loss", "discriminator", "optimizers"} <= busy
    assert not (tmp_path / "runs").exists()


def test_another_models_recipe_is_refused(tmp_path, capsys):
    assert main(["bench", "helium", "--training", "recipe.yaml"]) == 2
    assert "no option is called '--training'" in capsys.readouterr().err
