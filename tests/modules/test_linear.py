"""Products with few rows."""

import pytest
import torch
import torch.nn.functional as F

from moshi_zoo.modules.linear import Linear, linear, store_by_columns


@torch.no_grad()
@pytest.mark.parametrize("rows", [(), (1,), (1, 1), (2,), (2, 2), (5,), (3, 7)])
@pytest.mark.parametrize("bias", [None, torch.arange(6.0)])
@pytest.mark.parametrize("columns", ["apart", "together"])
def test_any_number_of_rows_gives_the_product(rows, bias, columns):
    x, weight = torch.randn(*rows, 4), torch.randn(6, 4)
    expected = F.linear(x, weight, bias)
    if columns == "together":
        weight = weight.t().contiguous().t()
    torch.testing.assert_close(linear(x, weight, bias), expected)


def test_only_tall_weights_change_places_in_memory():
    tall, square, wide, other = Linear(4, 8), Linear(4, 4), Linear(8, 4), torch.nn.Linear(4, 8)
    module = torch.nn.Sequential(tall, square, wide, other)
    before = [layer.weight.clone() for layer in module]
    store_by_columns(module)
    assert [layer.weight.is_contiguous() for layer in module] == [False, False, True, True]
    assert all(torch.equal(layer.weight, old) for layer, old in zip(module, before, strict=True))
    store_by_columns(module)
    assert not tall.weight.is_contiguous()
