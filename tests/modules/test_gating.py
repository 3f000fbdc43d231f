"""The gated feed-forward layer."""

import torch
import torch.nn.functional as F

from moshi_zoo.modules.gating import gated


def test_the_gate_and_its_gradient_are_those_of_the_definition():
    x = torch.randn(3, 2, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(gated, x)
    torch.testing.assert_close(gated(x), F.silu(x[..., :4]) * x[..., 4:])
    with torch.no_grad():
        assert torch.equal(gated(x), F.silu(x[..., :4]) * x[..., 4:])
