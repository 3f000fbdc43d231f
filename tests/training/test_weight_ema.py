"""The moving average of the weights."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch.optim import SGD

from moshi_zoo.training.run_checkpoint import RunCheckpoint
from moshi_zoo.training.weight_ema import WeightEMA
from tests.toys import LitToy, Toy, ToyData

EMA = partial(WeightEMA, decay=0.75)


class Diary(Callback):
    """What the weight and the buffer are after each batch, and the weight in each validation."""

    def __init__(self):
        self.trained, self.validated = [], []

    def on_train_batch_end(self, trainer, pl_module, *args):
        self.trained.append(pl_module.net.linear.weight.detach().clone())
        pl_module.net.seen += 1

    def on_validation_end(self, trainer, pl_module):
        self.validated.append(pl_module.net.linear.weight.detach().clone())


def fit(folder, *callbacks, steps=6, ckpt_path=None, **settings):
    torch.manual_seed(0)
    made, diary = LitToy(partial(Toy, 8), optimizer=partial(SGD, lr=0.1), **settings), Diary()
    trainer = Trainer(
        accelerator="cpu",
        max_steps=steps,
        val_check_interval=2,
        default_root_dir=folder,
        callbacks=[*callbacks, diary, RunCheckpoint()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(made, ToyData(), ckpt_path=ckpt_path, weights_only=True)
    return made, diary


def average(trained):
    result = trained[0]
    for weight in trained[1:]:
        result = 0.75 * result + 0.25 * weight
    return result


def checkpoint(folder, name="last"):
    return torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True)


def test_averages_are_validated_saved_and_left_while_live_weights_train_on_as_ever(tmp_path):
    _, plain = fit(tmp_path / "plain")
    made, diary = fit(tmp_path, EMA())
    torch.testing.assert_close(diary.trained, plain.trained, rtol=0, atol=0)
    start, *validated = diary.validated
    assert torch.equal(start, plain.validated[0]), "before the first step there is no average"
    torch.testing.assert_close(validated, [average(diary.trained[:count]) for count in (2, 4, 6)])
    assert torch.equal(made.net.linear.weight, validated[-1])
    saved = checkpoint(tmp_path)
    assert torch.equal(saved["state_dict"]["net.linear.weight"], validated[-1])
    assert torch.equal(saved["live_weights"]["linear.weight"], diary.trained[-1])


def test_buffers_are_those_of_the_live_net(tmp_path):
    made, _ = fit(tmp_path, EMA())
    assert made.net.seen == 6
    assert checkpoint(tmp_path)["state_dict"]["net.seen"] == 6


def test_a_resumed_run_has_the_same_weights_and_averages(tmp_path):
    _, whole = fit(tmp_path / "whole", EMA(), steps=10)
    fit(tmp_path / "parts", EMA(), steps=8)  # an epoch: the toy data cannot resume inside of one
    last = tmp_path / "parts/checkpoints/last.ckpt"
    resumed, diary = fit(tmp_path / "parts", EMA(), steps=10, ckpt_path=last)
    torch.testing.assert_close(diary.trained, whole.trained[8:], rtol=0, atol=0)
    assert torch.equal(diary.validated[-1], whole.validated[-1])
    assert torch.equal(resumed.net.linear.weight, whole.validated[-1])


def test_a_run_without_averages_can_be_continued_with_them(tmp_path):
    fit(tmp_path, steps=4)
    made, diary = fit(tmp_path, EMA(), ckpt_path=tmp_path / "checkpoints/last.ckpt")
    assert len(diary.trained) == 2
    torch.testing.assert_close(made.net.linear.weight.detach(), average(diary.trained))


@pytest.mark.parametrize("decay", [1.0, -0.1])
def test_a_decay_that_is_none_is_refused(decay):
    with pytest.raises(ValueError, match=r"decay is .*; it must be at least 0 and under 1"):
        WeightEMA(decay)
