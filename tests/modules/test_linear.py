"""Products with few rows."""

import pytest
import torch
import torch.nn.functional as F

from moshi_zoo.modules.linear import _SHARED, _parts, linear


@pytest.fixture
def threads():
    """Sets how many threads there are, for a while."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


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


@torch.no_grad()
@pytest.mark.parametrize("rows", [(), (1, 1), (2,), (2, 3), (_SHARED,), (_SHARED + 1,)])
@pytest.mark.parametrize("num_threads", [1, 2, 3])
@pytest.mark.parametrize("columns", ["apart", "together"])
def test_a_product_is_the_same_for_any_number_of_threads(rows, num_threads, columns, threads):
    x, weight, bias = torch.randn(*rows, 40), torch.randn(192, 40), torch.randn(192)
    expected = F.linear(x, weight, bias)
    if columns == "together":
        weight = weight.t().contiguous().t()
    threads(num_threads)
    torch.testing.assert_close(linear(x, weight, bias), expected)


@pytest.mark.parametrize(
    ("num_rows", "num_threads", "parts"),
    [(192, 1, 1), (192, 2, 2), (192, 4, 3), (127, 2, 1), (254, 2, 2), (255, 4, 3), (16_000, 16, 16), (2816, 12, 11)],
)
def test_threads_share_the_rows_of_a_weight_alike(num_rows, num_threads, parts, threads):
    threads(num_threads)
    assert _parts(num_rows) == parts
