"""Causal convolutions against plain PyTorch, streaming, and weight norm."""

import pytest
import torch
import torch.nn.functional as F

from moshi_zoo.modules import conv
from moshi_zoo.modules.conv import CausalConv1d, CausalConvTranspose1d, add_weight_norm, folded_state_dict, load_folded

SIZES = [(7, 1, 1), (3, 1, 2), (8, 4, 1), (16, 8, 1), (4, 4, 1), (4, 2, 1), (1, 1, 1)]  # kernel, stride, dilation


@pytest.mark.parametrize(("kernel", "stride", "dilation"), SIZES)
@pytest.mark.parametrize("edge", ["zeros", "replicate"])
def test_convolution_is_a_padded_plain_one(kernel, stride, dilation, edge):
    layer = CausalConv1d(3, 5, kernel, stride=stride, dilation=dilation, edge=edge)
    x = torch.randn(2, 3, 48 * stride)
    padded = F.pad(x, ((kernel - 1) * dilation + 1 - stride, 0), mode="constant" if edge == "zeros" else "replicate")
    expected = F.conv1d(padded, layer.weight, layer.bias, stride, dilation=dilation)
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("kernel", "stride"), [(16, 8), (4, 2), (5, 2), (4, 4), (3, 1)])
@pytest.mark.parametrize("groups", [1, 4])
def test_transposed_convolution_is_a_trimmed_plain_one(kernel, stride, groups):
    layer = CausalConvTranspose1d(4, 8, kernel, stride=stride, groups=groups)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, 4, 9)
    expected = F.conv_transpose1d(x, layer.weight, layer.bias, stride, groups=groups)[..., : 9 * stride]
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("chunk", [1, 2, 5])
@pytest.mark.parametrize("edge", ["zeros", "replicate"])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), SIZES)
def test_convolution_streams(kernel, stride, dilation, edge, chunk):
    layer = CausalConv1d(3, 5, kernel, stride=stride, dilation=dilation, edge=edge)
    torch.nn.init.normal_(layer.bias)
    x, state = torch.randn(2, 3, 10 * stride), layer.init_state(2)
    y = torch.cat([layer(part, state) for part in x.split(chunk * stride, dim=-1)], dim=-1)
    torch.testing.assert_close(y, layer(x), atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize(("kernel", "stride"), [(16, 8), (5, 2), (4, 4), (7, 2)])
def test_transposed_convolution_streams(kernel, stride):
    layer = CausalConvTranspose1d(4, 8, kernel, stride=stride)
    torch.nn.init.normal_(layer.bias)
    x, state = torch.randn(2, 4, 9), layer.init_state(2)
    y = torch.cat([layer(part, state) for part in x.split(2, dim=-1)], dim=-1)
    torch.testing.assert_close(y, layer(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_the_matrix_product_and_the_convolution_kernel_agree(monkeypatch, groups):
    layer, x = CausalConv1d(4, 4, 8, stride=4, groups=groups), torch.randn(1, 4, 16, requires_grad=True)
    results = []
    for limit in (0, 10_000):
        monkeypatch.setattr(conv, "_SHORT", limit)
        y = layer(x)
        results.append((y, *torch.autograd.grad(y.square().sum(), [x, layer.weight, layer.bias])))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_weight_norm_changes_nothing_until_training_and_folds_away():
    make = lambda: torch.nn.Sequential(CausalConv1d(2, 3, 3), CausalConvTranspose1d(3, 2, 4, stride=2))  # noqa: E731
    net = make()
    x, plain = torch.randn(1, 2, 8), {k: v.clone() for k, v in net.state_dict().items()}
    before = net(x)
    add_weight_norm(net)
    torch.testing.assert_close(net(x), before)
    folded = folded_state_dict(net)
    assert folded.keys() == plain.keys()
    other = make()
    add_weight_norm(other)
    load_folded(other, folded)
    torch.testing.assert_close(other(x), before)
    assert sum(p.numel() for p in net.parameters()) > sum(v.numel() for v in plain.values())


def test_weights_that_do_not_fit_are_all_named():
    net = CausalConv1d(2, 3, 3)
    with pytest.raises(
        ValueError, match=r"missing: bias; unexpected: offset; weight: \[3, 2, 4\] given, \[3, 2, 3\] needed"
    ):
        load_folded(net, {"weight": torch.zeros(3, 2, 4), "offset": torch.zeros(3)})
