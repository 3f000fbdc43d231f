"""Products with few rows."""

import pytest
import torch
import torch.nn.functional as F

from moshi_zoo.modules.linear import linear


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
