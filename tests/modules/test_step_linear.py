"""Products with weights of their own for each step."""

import pytest
import torch

from moshi_zoo.gradient_sum import sum_of
from moshi_zoo.losses.pieces import loss_in_pieces
from moshi_zoo.modules.step_linear import StepLinear


@pytest.mark.parametrize("schedule", [[0, 1, 2, 3], [0, 1, 1, 0], [0, 0, 0, 0]])
def test_each_step_has_its_weights(schedule):
    layer, x = StepLinear(5, 3, schedule), torch.randn(4, 6, 5)
    expected = torch.stack([x[step] @ layer.weight[index].t() for step, index in enumerate(schedule)])
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer(x[1:3], first=1), expected[1:3])
    for step in range(4):
        torch.testing.assert_close(layer(x[step : step + 1], first=step), expected[step : step + 1])
        torch.testing.assert_close(layer.step(x[step], step), expected[step])


def test_one_input_for_all_steps():
    layer, x = StepLinear(5, 3, [0, 1, 1]), torch.randn(6, 5)
    torch.testing.assert_close(layer.each(x), torch.stack([x @ weight.t() for weight in layer.weight]))


def test_weights_start_within_their_bounds():
    for initial, deviation in [("uniform", 100**-0.5 / 3**0.5), ("normal", 100**-0.5)]:
        weight = StepLinear(100, 80, [0, 1], initial=initial).weight
        assert weight.std().item() == pytest.approx(deviation, rel=0.03)


def test_gradients_are_those_of_a_plain_product_and_lie_as_their_weights():
    layer, x, wanted = StepLinear(5, 3, range(4)), torch.randn(4, 6, 5, requires_grad=True), torch.randn(4, 6, 3)
    (x @ layer.weight.mT).backward(wanted)
    expected, x.grad, layer.weight.grad = (x.grad, layer.weight.grad), None, None
    layer(x).backward(wanted)
    torch.testing.assert_close((x.grad, layer.weight.grad), expected)
    assert layer.weight.grad is not None
    assert layer.weight.grad.is_contiguous()


def test_weights_that_learn_nothing_have_no_gradient():
    layer, x = StepLinear(5, 3, range(4)), torch.randn(4, 6, 5, requires_grad=True)
    layer.requires_grad_(False)(x).sum().backward()
    assert layer.weight.grad is None
    torch.testing.assert_close(x.grad, layer.weight.sum(1, keepdim=True).expand_as(x))


def test_gradients_of_pieces_are_added_where_they_lie():
    """The second piece brings no gradient of its own: it is in the sum already, once."""
    layer, x = StepLinear(5, 3, range(4)), torch.randn(4, 6, 5)
    expected = torch.autograd.grad(layer(x).square().sum(), layer.weight)[0]

    def compute(part, where):
        return layer(part.transpose(0, 1)).square().sum()

    for size in (6, 4, 1):
        loss = loss_in_pieces(compute, x.transpose(0, 1).requires_grad_(), [layer.weight], size=size)
        torch.testing.assert_close(torch.autograd.grad(3 * loss, layer.weight)[0], 3 * expected)
        assert sum_of(layer.weight) is None
