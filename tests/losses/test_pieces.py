"""A loss taken piece by piece: the numbers of the whole, with the memory of a piece."""

import pytest
import torch
from torch import nn

from moshi_zoo.losses.pieces import loss_in_pieces

N, D = 23, 6


@pytest.fixture
def net():
    net = nn.Sequential(nn.Linear(D, 9), nn.Tanh(), nn.Linear(9, 1), nn.Linear(1, 1))
    net[3].requires_grad_(False)
    return net


def gradients(net, x, **how):
    net.zero_grad()
    x = x.clone().requires_grad_()

    def compute(part, where):
        assert part.shape[0] == len(range(N)[where])
        return (net(part) * torch.arange(1.0, N + 1)[where, None]).square().sum()

    loss = loss_in_pieces(compute, x * 2, list(net.parameters()), **how)
    (3 * loss).backward()
    return [loss.detach(), x.grad, *(p.grad for p in net.parameters())]


@pytest.mark.parametrize("how", [{"size": 5}, {"size": 1}, {"size": 5, "recompute": True}])
def test_loss_and_gradients_are_those_of_the_whole(net, how):
    x = torch.randn(N, D)
    for found, expected in zip(gradients(net, x, **how), gradients(net, x, size=N), strict=True):
        assert (found is None) == (expected is None)
        if expected is not None:
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_parameter_that_is_not_used_gets_no_gradient(net):
    other = nn.Parameter(torch.zeros(3))
    x = torch.randn(N, D)
    loss_in_pieces(lambda part, where: net(part).sum(), x, [*net.parameters(), other], size=4).backward()
    assert other.grad is None
    assert net[0].weight.grad is not None


def test_without_gradients_there_is_only_the_loss(net):
    with torch.no_grad():
        loss = loss_in_pieces(lambda part, where: net(part).sum(), torch.ones(N, D), list(net.parameters()), size=4)
    torch.testing.assert_close(loss, net(torch.ones(N, D)).sum().detach())
    assert not loss.requires_grad


def test_nothing_has_no_loss(net):
    x = torch.zeros(0, D, requires_grad=True)
    for recompute in (False, True):
        loss = loss_in_pieces(lambda part, where: net(part).sum(), x, [], size=4, recompute=recompute)
        assert loss == 0


@pytest.mark.parametrize("recompute", [False, True])
def test_activations_of_a_piece_at_a_time_exist(net, recompute):
    """What the graph of the whole would keep for the backward pass is not kept."""
    kept = []

    def pack(tensor):
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = loss_in_pieces(
            lambda part, where: net(part.repeat(1, 50).view(-1, D)).sum(),
            torch.randn(N, D, requires_grad=True),
            list(net.parameters()),
            size=1,
            recompute=recompute,
        )
        alive = sum(t.numel() for t in getattr(loss.grad_fn, "saved_tensors", ()))
    if not recompute:
        assert alive < 2 * (N * D + sum(p.numel() for p in net.parameters()))
    else:
        assert sum(kept) < N * D * 50
