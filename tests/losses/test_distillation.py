import math

import pytest
import torch

from moshi_zoo.losses.distillation import constant_prediction_cosine, cosine_distillation_loss


def test_the_cosine_runs_over_channels_within_a_frame():
    teacher = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])  # [B=1, C=2, T=2]: frames (1, 0) and (0, 1)
    student = torch.tensor([[[2.0, 0.0], [2.0, 3.0]]])  # frames (2, 2) and (0, 3)
    assert cosine_distillation_loss(student, teacher).item() == pytest.approx((1 - math.sqrt(0.5) + 0) / 2)


def test_frames_of_padding_teach_nothing():
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(2, 5, 6, generator=generator) for _ in range(2))
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[1, 2:] = False
    student.requires_grad_()
    loss = cosine_distillation_loss(student, teacher, mask)
    loss.backward()
    valid = torch.cat(
        [
            1 - torch.cosine_similarity(student[0], teacher[0], dim=0),
            1 - torch.cosine_similarity(student[1, :, :2], teacher[1, :, :2], dim=0),
        ]
    )
    torch.testing.assert_close(loss, valid.mean())
    assert student.grad is not None
    assert student.grad[1, :, 2:].abs().max() == 0


def test_a_batch_of_padding_alone_costs_nothing():
    zeros = torch.zeros(2, 6, dtype=torch.bool)
    assert cosine_distillation_loss(torch.randn(2, 5, 6), torch.randn(2, 5, 6), zeros).item() == 0


def test_the_teacher_receives_no_gradient():
    teacher = torch.randn(1, 4, 3, requires_grad=True)
    cosine_distillation_loss(torch.randn(1, 4, 3, requires_grad=True), teacher).backward()
    assert teacher.grad is None


def test_no_constant_beats_the_constant_prediction_baseline():
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(2, 8, 50, generator=generator) + 1.0
    baseline = constant_prediction_cosine(teacher).item()
    for _ in range(20):
        guess = (torch.randn(8, generator=generator) + 1.0)[None, :, None].expand_as(teacher)
        assert 1 - cosine_distillation_loss(guess, teacher).item() <= baseline
    best = torch.nn.functional.normalize(teacher, dim=1).mean(dim=(0, 2))[None, :, None].expand_as(teacher)
    assert 1 - cosine_distillation_loss(best, teacher).item() == pytest.approx(baseline, rel=1e-5)


def test_a_common_direction_shows_in_the_baseline():
    noise = torch.randn(2, 8, 50, generator=torch.Generator().manual_seed(0))
    assert constant_prediction_cosine(noise).item() < 0.2
    assert constant_prediction_cosine(noise + 10).item() > 0.9
    mask = torch.zeros(2, 50, dtype=torch.bool)
    mask[:, :1] = True
    assert constant_prediction_cosine(noise[:1], mask[:1]).item() == pytest.approx(1)


def test_features_of_different_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 4, 3\).*\(1, 4, 2\).*whole frames"):
        cosine_distillation_loss(torch.zeros(1, 4, 3), torch.zeros(1, 4, 2))
