import pytest
import torch
import torch.distributed

from moshi_zoo.losses.balancer import GradientBalancer


def _output(batch_size=4, seed=0):
    return torch.randn(batch_size, 1, 50, generator=torch.Generator().manual_seed(seed), requires_grad=True)


def _per_clip(gradient):
    return gradient.flatten(1).norm(dim=1)


def _pull(output, direction, size):
    """A loss whose gradient has norm ``size`` on every clip."""
    unit = torch.zeros_like(output)
    unit[..., direction] = 1
    return size * (output * unit).sum()


def test_weights_are_shares_whatever_the_losses_scale():
    output = _output()
    losses = {"small": _pull(output, 0, 1.0), "large": _pull(output, 1, 1000.0)}
    balanced = GradientBalancer(["small", "large"])(losses, {"small": 3.0, "large": 1.0}, output)
    small, large = balanced.gradient[:, 0, 0], balanced.gradient[:, 0, 1]
    torch.testing.assert_close(small / large, torch.full((4,), 3.0), rtol=1e-4, atol=0)
    torch.testing.assert_close(small + large, torch.full((4,), 1 / 4))  # total norm 1, divided by B
    assert balanced.ratios["large"].item() == pytest.approx(1000 / 1001)


def test_the_pull_on_a_model_does_not_depend_on_the_batch_size():
    """As for a term outside the balancer: a mean over clips pulls a shared parameter alike at any batch size."""
    pulls = []
    for batch_size in (1, 8):
        shift = torch.zeros((), requires_grad=True)
        output = torch.linspace(0, 1, 50).expand(batch_size, 1, 50) + shift
        loss = output.square().mean()
        balanced = GradientBalancer(["mel"])({"mel": loss}, {"mel": 1.0}, output)
        (output * balanced.gradient).sum().backward()
        pulls.append(shift.grad.item())
    assert pulls[0] == pytest.approx(pulls[1], rel=1e-5)


def test_norms_are_averaged_with_bias_correction():
    balancer = GradientBalancer(["mel"], decay=0.9)
    output = _output()
    for size in (2.0, 4.0, 8.0):
        gradient = balancer({"mel": _pull(output, 0, size)}, {"mel": 1.0}, output).gradient
    mean = (0.81 * 2 + 0.9 * 4 + 8) / (0.81 + 0.9 + 1)
    torch.testing.assert_close(_per_clip(gradient) * 4, torch.full((4,), 8 / mean))


def test_a_saved_balancer_continues_exactly():
    def step(balancer, size):
        output = _output()
        losses = {"mel": _pull(output, 0, size), "adversarial": output.square().mean()}
        return balancer(losses, {"mel": 1.0, "adversarial": 2.0}, output).gradient

    whole, first, second = (GradientBalancer(["mel", "adversarial"], decay=0.9) for _ in range(3))
    for size in (1.0, 5.0):
        step(whole, size)
        step(first, size)
    second.load_state_dict(first.state_dict())
    assert torch.equal(step(whole, 2.0), step(second, 2.0))


def test_a_loss_that_is_missing_or_has_weight_zero_is_left_out_and_its_average_waits():
    balancer = GradientBalancer(["mel", "adversarial"], decay=0.9)
    output = _output()
    both = {"mel": _pull(output, 0, 2.0), "adversarial": _pull(output, 1, 6.0)}
    balancer(both, {"mel": 1.0, "adversarial": 1.0}, output)
    before = balancer.norm_sum.clone()
    for losses, weights in [
        (both, {"mel": 0.0, "adversarial": 4.0}),
        (both, {"adversarial": 4.0}),
        ({"adversarial": both["adversarial"]}, {"mel": 1.0, "adversarial": 4.0}),
    ]:
        balanced = balancer(losses, weights, output)
        assert set(balanced.ratios) == {"adversarial"}
        assert balanced.gradient[:, 0, 0].abs().max() == 0
        torch.testing.assert_close(_per_clip(balanced.gradient) * 4, torch.ones(4))
    assert balancer.norm_sum[0] == before[0]


def test_nothing_active_is_a_gradient_of_zeros():
    output = _output()
    balanced = GradientBalancer(["mel"])({"mel": output.mean()}, {"mel": 0.0}, output)
    assert balanced.gradient.shape == output.shape
    assert balanced.gradient.abs().max() == 0
    assert balanced.ratios == {}


def test_parameters_on_the_way_receive_no_gradient():
    discriminator = torch.nn.Conv1d(1, 1, 3)
    output = _output()
    balanced = GradientBalancer(["adversarial"])(
        {"adversarial": -discriminator(output).mean()}, {"adversarial": 1}, output
    )
    assert discriminator.weight.grad is None
    assert output.grad is None
    assert not balanced.gradient.requires_grad


def test_a_gradient_of_nan_does_not_poison_later_steps():
    balancer, output = GradientBalancer(["mel"]), _output()
    balancer({"mel": _pull(output, 0, 2.0)}, {"mel": 1.0}, output)
    broken = balancer({"mel": _pull(output, 0, float("nan"))}, {"mel": 1.0}, output)
    assert not broken.gradient.isfinite().all()
    after = balancer({"mel": _pull(output, 0, 2.0)}, {"mel": 1.0}, output)
    torch.testing.assert_close(_per_clip(after.gradient) * 4, torch.ones(4))


def test_ranks_share_their_norms(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda norms: norms.add_(6.0))  # the other rank's norm
    output = _output()
    balanced = GradientBalancer(["mel"])({"mel": _pull(output, 0, 2.0)}, {"mel": 1.0}, output)
    torch.testing.assert_close(_per_clip(balanced.gradient) * 4, torch.full((4,), 2 / 4))  # mean of 2 and 6 is 4


def test_bfloat16_output_is_balanced_in_float32():
    output = _output().detach().bfloat16().requires_grad_()
    balanced = GradientBalancer(["mel"])({"mel": output.float().square().mean()}, {"mel": 1.0}, output)
    assert balanced.gradient.dtype == torch.float32


def test_strangers_and_negative_weights_are_refused():
    balancer, output = GradientBalancer(["mel"]), _output()
    with pytest.raises(ValueError, match="made for mel but is given commitment"):
        balancer({"commitment": output.mean()}, {"mel": 1.0}, output)
    with pytest.raises(ValueError, match="negative"):
        balancer({"mel": output.mean()}, {"mel": -1.0}, output)
