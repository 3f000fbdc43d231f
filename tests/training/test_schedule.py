"""Learning rates, and how many steps a run has."""

from types import SimpleNamespace

import pytest
import torch
from torch.optim import SGD

from moshi_zoo.training.schedule import WarmupCosine, WarmupStableDecay, optimizer_steps


def rates(count, make=WarmupCosine, **settings):
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = make(optimizer, **settings)
    found = []
    for _ in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_rates_rise_in_a_line_fall_like_a_cosine_and_end_at_their_share():
    found = rates(13, warmup_steps=4, total_steps=12, final=0.1)
    assert found[:5] == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0])
    assert found[8] == pytest.approx(2 * (0.1 + 0.9 / 2))
    assert found[12] == pytest.approx(0.2)
    assert found[3:] == sorted(found[3:], reverse=True)


def test_the_end_is_held_in_a_run_that_was_prolonged():
    assert rates(9, warmup_steps=0, total_steps=4, final=0.5)[4:] == pytest.approx([1.0] * 5)


@pytest.mark.parametrize("make", [WarmupCosine, WarmupStableDecay])
@pytest.mark.parametrize("total_steps", [0, -7, 3])
def test_the_peak_is_held_without_an_end_after_the_warm_up(total_steps, make):
    assert rates(9, make, warmup_steps=3, total_steps=total_steps, final=0.1)[2:] == pytest.approx([2.0] * 7)


def test_a_stable_rate_decays_in_a_line_in_the_last_share_of_the_run():
    found = rates(23, WarmupStableDecay, warmup_steps=2, total_steps=20, decay_share=0.25, final=0.1)
    assert found[:2] == pytest.approx([1.0, 2.0])
    assert found[2:16] == pytest.approx([2.0] * 14)
    assert found[15:21] == pytest.approx([2.0, 1.64, 1.28, 0.92, 0.56, 0.2])
    assert found[20:] == pytest.approx([0.2] * 3)


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_decay_of_no_steps_or_more_than_the_run_is_refused(share):
    with pytest.raises(ValueError, match="decay_share"):
        rates(1, WarmupStableDecay, total_steps=9, decay_share=share)


@pytest.mark.parametrize(
    ("max_steps", "max_epochs", "batches", "steps"),
    [(100, -1, 10, 100), (-1, 3, 10, 12), (7, 3, 10, 7), (100, 3, 10, 12), (-1, -1, 10, 0), (-1, 3, float("inf"), 0)],
)
def test_steps_and_epochs_limit_a_run(max_steps, max_epochs, batches, steps):
    loop = SimpleNamespace(setup_data=lambda: None)
    trainer = SimpleNamespace(max_steps=max_steps, max_epochs=max_epochs, num_training_batches=batches, fit_loop=loop)
    assert optimizer_steps(trainer, accumulate=3) == steps
