"""Tensors that are computed when they are needed."""

import pytest
import torch

from moshi_zoo.zoo.deferred import compute, computed, defer
from moshi_zoo.zoo.rotary_rows import to_halves, to_pairs


def deferred(tensor):
    """The same tensor, deferred, and the list that grows each time it is computed."""
    asked = []

    def make():
        asked.append(1)
        return tensor

    return defer(tensor.to("meta"), make), asked


def transform(tensor, other):
    first, second = tensor.chunk(2)
    rows = torch.cat([to_halves(first, 2), to_pairs(second, 2), other])
    table = torch.stack([part * 2 for part in rows.unflatten(0, (2, -1)).unbind()])
    return (table[:, :-1].float() / 3).view(-1, 4)[None].transpose(1, 2).bfloat16().squeeze(0)


def test_conversions_give_what_they_give_at_once():
    real, other = torch.randn(16, 4), torch.randn(8, 4)
    expected = transform(real, other)
    tensor, asked = deferred(real)
    result = transform(tensor, other)
    assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
    assert not asked, "nothing is computed before it is asked for"
    assert torch.equal(compute(result), expected)
    assert asked


def test_what_has_been_computed_is_not_kept():
    tensor, asked = deferred(torch.ones(3))
    doubled = 2 * tensor
    compute(doubled)
    compute(doubled)
    assert len(asked) == 2


def test_computed_tensors_are_their_own():
    real = torch.ones(3)
    tensors = computed({"deferred": deferred(real)[0], "plain": real})
    real.zero_()
    assert all(tensor.eq(1).all() and type(tensor) is torch.Tensor for tensor in tensors.values())


def test_a_deferred_tensor_is_not_changed_in_place_nor_silently_ignored():
    tensor, _ = deferred(torch.ones(3))
    with pytest.raises(TypeError, match="in place"):
        tensor.add_(1)
    with pytest.raises(TypeError, match="copy_ changes"):
        torch.zeros(3).copy_(tensor)
    with pytest.raises(RuntimeError, match="Meta"):
        torch.equal(tensor, torch.ones(3))
