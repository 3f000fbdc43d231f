"""The picture of a run's curves."""

from types import SimpleNamespace

import pytest
from lightning.pytorch.loggers import WandbLogger
from PIL import Image

from moshi_zoo.training.curves import Curves, read_curves

TABLE = """\
step,train/loss,epoch,val/loss,val/used_0,train/lr
0,4.0,0,,,0.1
1,3.0,0,,,0.1
1,,0,2.5,0.9,
2,nan,0,,,0.1
1,2.0,0,,,0.1
"""


class Board(WandbLogger):
    """Keeps what it is shown."""

    def __init__(self):
        self.shown = []

    def log_image(self, key, images, step=None, **kwargs):
        self.shown.append((key, images[0].size, step))


@pytest.fixture
def trainer(tmp_path):
    (tmp_path / "metrics.csv").write_text(TABLE)
    state = {"default_root_dir": tmp_path, "is_global_zero": True, "sanity_checking": False, "global_step": 3}
    return SimpleNamespace(**state, state=SimpleNamespace(fn="fit"), loggers=[Board()])


def test_curves_are_drawn_after_validation_and_at_the_end(trainer, tmp_path):
    Curves().on_validation_end(trainer, None)
    size = Image.open(tmp_path / "curves.png").size
    (tmp_path / "curves.png").unlink()
    Curves().on_train_end(trainer, None)
    assert Image.open(tmp_path / "curves.png").size == size
    assert trainer.loggers[0].shown == [("curves", size, 3)] * 2


@pytest.mark.parametrize("changes", [{"sanity_checking": True}, {"is_global_zero": False}])
def test_nothing_is_drawn_before_training_or_by_other_processes(trainer, tmp_path, changes):
    vars(trainer).update(changes)
    Curves().on_validation_end(trainer, None)
    assert not (tmp_path / "curves.png").exists()


def test_a_run_that_has_logged_nothing_has_no_picture(trainer, tmp_path):
    (tmp_path / "metrics.csv").write_text("step,epoch\n0,0\n")
    Curves().on_train_end(trainer, None)
    (tmp_path / "metrics.csv").unlink()
    Curves().on_train_end(trainer, None)
    assert not (tmp_path / "curves.png").exists()


def test_a_repeated_step_counts_once_and_codebooks_have_no_curves(tmp_path):
    (tmp_path / "metrics.csv").write_text(TABLE)
    curves = read_curves(tmp_path / "metrics.csv")
    assert list(curves) == ["val/loss", "train/loss", "train/lr"]
    assert curves["train/loss"] == [(0, 4), (1, 2)]


def test_long_curves_are_means_of_neighbours(tmp_path):
    rows = "\n".join(f"{step},{step % 2}" for step in range(3000))
    (tmp_path / "metrics.csv").write_text(f"step,train/loss\n{rows}\n")
    (points,) = read_curves(tmp_path / "metrics.csv").values()
    assert len(points) == 300
    assert all(value == 0.5 for _, value in points)
    assert points[-1][0] == 2999
