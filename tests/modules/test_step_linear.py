"""Products with weights of their own for each step."""

import pytest
import torch

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
