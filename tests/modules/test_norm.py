"""Norms."""

import pytest
import torch
import torch.nn.functional as F

from moshi_zoo.modules.norm import RMSNorm, rms_norm


@pytest.mark.parametrize("scale", [0.0, 1e-5, 1.0, 1e4])
def test_the_norm_divides_by_the_root_of_the_mean_square(scale):
    x, norm = scale * torch.randn(3, 2, 16), RMSNorm(16, eps=1e-8)
    norm.weight.data.uniform_(0.5, 2.0)
    expected = x * (x.square().mean(-1, keepdim=True) + 1e-8).rsqrt() * norm.weight
    torch.testing.assert_close(norm(x), expected)
    with torch.no_grad():
        torch.testing.assert_close(norm(x), expected)


def test_its_gradients_are_those_of_its_definition():
    x, weight = torch.randn(3, 2, 6, dtype=torch.float64), torch.rand(6, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x, w: rms_norm(x, w, 0.1), (x.requires_grad_(), weight.requires_grad_()), eps=1e-5, atol=1e-4
    )
    frozen = weight.detach()
    ours, theirs = (
        torch.autograd.grad(y.sum(), x)[0] for y in (rms_norm(x, frozen, 1e-8), F.rms_norm(x, (6,), frozen, 1e-8))
    )
    torch.testing.assert_close(ours, theirs)


def test_half_precision_is_normalised_in_float32():
    x, norm = torch.randn(4, 16).bfloat16(), RMSNorm(16)
    assert torch.equal(norm(x), norm(x.float()).bfloat16())
