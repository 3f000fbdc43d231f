"""Steps that are left out."""

import pytest
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR

from moshi_zoo.training.guarded_step import GuardedStep


@pytest.fixture
def made():
    """A weight, its optimizer, and a schedule that halves the rate."""
    weight = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    optimizer = SGD([weight], lr=1.0)
    return weight, optimizer, LambdaLR(optimizer, lambda step: 0.5**step)


def test_gradients_are_clipped_and_the_rate_moves(made):
    weight, optimizer, schedule = made
    weight.grad = torch.tensor([3.0, 4.0])
    outcome = GuardedStep("codec", clip=1.0)(optimizer, schedule)
    assert outcome.is_made
    assert outcome.norm == 5
    torch.testing.assert_close(weight.detach(), torch.tensor([0.4, 0.2]))
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert weight.grad is None


def test_without_a_limit_gradients_stay_as_they_are(made):
    weight, optimizer, schedule = made
    weight.grad = torch.tensor([3.0, 4.0])
    GuardedStep("codec", clip=None)(optimizer, schedule)
    torch.testing.assert_close(weight.detach(), torch.tensor([-2.0, -3.0]))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("clip", [1.0, None])
def test_a_step_with_a_broken_gradient_is_left_out_and_the_next_is_made(made, bad, clip):
    weight, optimizer, schedule = made
    step = GuardedStep("codec", clip=clip)
    weight.grad = torch.tensor([0.0, bad])
    assert not step(optimizer, schedule).is_made
    assert weight.tolist() == [1, 1]
    assert optimizer.param_groups[0]["lr"] == 1
    weight.grad = torch.tensor([0.5, 0.0])
    assert step(optimizer, schedule).is_made
    assert weight.tolist() == [0.5, 1]


def test_only_broken_gradients_stop_the_run(made):
    weight, optimizer, schedule = made
    step = GuardedStep("codec", clip=1.0)

    def broken_step():
        weight.grad = torch.tensor([0.0, float("nan")])
        step(optimizer, schedule)

    for _ in range(19):
        broken_step()
    with pytest.raises(ValueError, match="gradients of the codec were not finite 20 times in a row"):
        broken_step()
