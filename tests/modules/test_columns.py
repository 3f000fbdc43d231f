"""Where weights lie in memory."""

import torch

from moshi_zoo.modules.columns import store_by_columns
from moshi_zoo.modules.linear import Linear
from moshi_zoo.modules.step_linear import StepLinear


def test_only_tall_weights_change_places_in_memory():
    tall, square, wide, other = Linear(4, 8), Linear(4, 4), Linear(8, 4), torch.nn.Linear(4, 8)
    module = torch.nn.Sequential(tall, square, wide, other)
    before = [layer.weight.clone() for layer in module]
    store_by_columns(module)
    assert [layer.weight.is_contiguous() for layer in module] == [False, True, True, True]
    assert all(torch.equal(layer.weight, old) for layer, old in zip(module, before, strict=True))
    store_by_columns(module)
    assert not tall.weight.is_contiguous()


@torch.no_grad()
def test_tall_weights_of_steps_change_places_each():
    tall, square = StepLinear(4, 8, [0, 1, 2]), StepLinear(4, 4, [0, 1, 2])
    before, x = tall.weight.clone(), torch.randn(3, 2, 4)
    expected = tall(x), tall(x[1:2], 1), tall.each(x[0])
    store_by_columns(torch.nn.Sequential(tall, square))
    assert torch.equal(tall.weight, before)
    assert tall.weight.shape == (3, 8, 4)
    assert tall.weight[1].stride() == (1, 8)
    assert square.weight.is_contiguous()
    for found, known in zip((tall(x), tall(x[1:2], 1), tall.each(x[0])), expected, strict=True):
        torch.testing.assert_close(found, known)
