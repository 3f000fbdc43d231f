"""Chance that is computed from its place."""

import torch

from moshi_zoo.models.chance import uniform_at


def test_numbers_are_uniform_and_have_nothing_to_do_with_each_other():
    numbers = uniform_at(torch.arange(50), torch.zeros(50, dtype=torch.int64), 400)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    shares = torch.histc(numbers, 20, 0, 1) / numbers.numel()
    torch.testing.assert_close(shares, torch.full((20,), 0.05), atol=0.006, rtol=0)
    for a, b in [(numbers[1:], numbers[:-1]), (numbers[:, 1:], numbers[:, :-1])]:  # seeds, places
        assert torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1].abs() < 0.03
    frames = uniform_at(torch.full((20_000,), 7), torch.arange(20_000), 1)[:, 0]
    assert torch.corrcoef(torch.stack([frames[1:], frames[:-1]]))[0, 1].abs() < 0.03
    assert frames.unique().numel() > 19_900


def test_a_number_depends_on_seed_and_place_alone():
    one = uniform_at(torch.tensor([3]), torch.tensor([11]), 4)
    many = uniform_at(torch.tensor([5, 3, -3]), torch.tensor([11, 11, 11]), 9)
    assert torch.equal(many[1, :4], one[0])
    assert not (many[0] == many[1]).any()
    assert not (many[2] == many[1]).any()
