"""Rotary positions."""

import pytest
import torch

from moshi_zoo.modules.rope import rotary_angles, rotate


def test_complex_and_real_arithmetic_agree(monkeypatch):
    x = torch.randn(2, 3, 50, 16)
    angles = rotary_angles(torch.arange(50)[None], 16)
    eager = rotate(x, angles)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    torch.testing.assert_close(rotate(x, angles), eager, atol=1e-6, rtol=0)


def test_products_of_queries_and_keys_depend_on_their_distance_alone():
    query, key = torch.randn(2, 1, 1, 1, 8)
    near = [rotary_angles(torch.tensor([[p]]), 8) for p in (3, 7)]
    far = [rotary_angles(torch.tensor([[p + 1000]]), 8) for p in (3, 7)]
    products = [(rotate(query, a) * rotate(key, b)).sum().item() for a, b in (near, far)]
    assert products[0] == pytest.approx(products[1], abs=1e-5)
    assert products[0] != pytest.approx((query * key).sum().item(), abs=1e-2)


def test_half_precision_is_rotated_in_float32():
    x, angles = torch.randn(1, 2, 9, 8).bfloat16(), rotary_angles(torch.arange(9)[None], 8)
    assert torch.equal(rotate(x, angles), rotate(x.float(), angles).bfloat16())
