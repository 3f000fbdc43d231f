import pytest
import torch

from moshi_zoo.losses.adversarial import discriminator_loss, feature_matching_loss, generator_loss

REAL = [torch.tensor([2.0, 0.5]), torch.tensor([[-1.0]])]
FAKE = [torch.tensor([-3.0, 0.0]), torch.tensor([[1.0]])]


def test_hinge_values_by_hand():
    # scale 1: mean(0, .5) + mean(0, 1) = .75; scale 2: 2 + 2 = 4
    assert discriminator_loss(REAL, FAKE, "hinge").item() == pytest.approx((0.75 + 4) / 2)
    assert generator_loss(FAKE, "hinge").item() == pytest.approx((1.5 - 1) / 2)


def test_least_squares_values_by_hand():
    # scale 1: mean(1, .25) + mean(9, 0) = 5.125; scale 2: 4 + 1 = 5
    assert discriminator_loss(REAL, FAKE, "least-squares").item() == pytest.approx((5.125 + 5) / 2)
    assert generator_loss(FAKE, "least-squares").item() == pytest.approx(((16 + 1) / 2 + 0) / 2)


def test_a_discriminator_that_cannot_tell_stands_at_the_documented_value():
    zeros, halves = [torch.zeros(4)], [torch.full((4,), 0.5)]
    assert discriminator_loss(zeros, zeros, "hinge").item() == 2
    assert discriminator_loss(halves, halves, "least-squares").item() == 0.5


def test_scales_weigh_alike_whatever_their_size():
    small, large = torch.tensor([1.0]), torch.zeros(999)
    assert generator_loss([small, large], "hinge").item() == pytest.approx(-0.5)


def test_feature_matching_by_hand():
    real = [[torch.tensor([1.0, 3.0]), torch.tensor([4.0])], [torch.tensor([10.0])]]
    fake = [[torch.tensor([2.0, 5.0]), torch.tensor([4.0])], [torch.tensor([7.0])]]
    # scale 1: (1.5 + 0) / 2, scale 2: 3
    assert feature_matching_loss(real, fake).item() == pytest.approx((0.75 + 3) / 2)
    # divided by the real maps' means 2, 4 and 10
    assert feature_matching_loss(real, fake, "relative").item() == pytest.approx((0.375 + 0.3) / 2)


def test_feature_matching_is_zero_at_equality_and_finite_for_dead_maps():
    maps = [[torch.zeros(3), torch.ones(3)]]
    for scale in ("absolute", "relative"):
        assert feature_matching_loss(maps, maps, scale).item() == 0
    assert feature_matching_loss(maps, [[torch.ones(3), torch.ones(3)]], "relative").isfinite()


def test_feature_matching_sends_nothing_into_the_recordings_side():
    real, fake = torch.randn(5, requires_grad=True), torch.randn(5, requires_grad=True)
    feature_matching_loss([[real]], [[fake]]).backward()
    assert real.grad is None
    assert fake.grad is not None
    assert fake.grad.abs().sum() > 0


def test_losses_are_float32_for_half_precision_logits():
    half = [torch.full((3,), 0.1, dtype=torch.bfloat16)]
    assert discriminator_loss(half, half).dtype == torch.float32
    assert generator_loss(half).dtype == torch.float32
    assert feature_matching_loss([half], [half]).dtype == torch.float32


def test_different_numbers_of_scales_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        discriminator_loss(REAL, FAKE[:1])
