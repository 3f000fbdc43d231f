"""Drawing a token from logits."""

import pytest
import torch

from moshi_zoo.models.sampling import RowSampler, Sampler, uniform_rows

LOGITS = torch.tensor([0.5, 0.2, 0.0, 0.3]).clamp(min=1e-9).log()  # probabilities; token 2 never


def shares(sampler, logits=LOGITS, count=20_000):
    chance = torch.linspace(0, 1, count + 1)[:-1]
    drawn = sampler(logits.expand(count, -1), chance)
    return (torch.bincount(drawn, minlength=len(logits)) / count).tolist()


def test_tokens_come_as_often_as_their_probability_says():
    assert shares(Sampler(temperature=1.0)) == pytest.approx([0.5, 0.2, 0.0, 0.3], abs=1e-3)


def test_temperature_sharpens():
    squares = torch.tensor([0.25, 0.04, 0.0, 0.09])
    assert shares(Sampler(temperature=0.5)) == pytest.approx((squares / squares.sum()).tolist(), abs=1e-3)
    assert shares(Sampler(temperature=0.0)) == [1, 0, 0, 0]


def test_the_k_likeliest_share_what_is_left():
    assert shares(Sampler(temperature=1.0, top_k=2)) == pytest.approx([0.625, 0, 0, 0.375], abs=1e-3)
    assert shares(Sampler(temperature=1.0, top_k=100)) == pytest.approx([0.5, 0.2, 0.0, 0.3], abs=1e-3)


def test_the_nucleus_is_the_fewest_tokens_that_reach_p():
    assert shares(Sampler(temperature=1.0, top_p=0.79)) == pytest.approx([0.625, 0, 0, 0.375], abs=1e-3)
    assert shares(Sampler(temperature=1.0, top_p=0.81)) == pytest.approx([0.5, 0.2, 0.0, 0.3], abs=1e-3)
    assert shares(Sampler(temperature=1.0, top_p=0.01)) == [1, 0, 0, 0]
    both = Sampler(temperature=1.0, top_k=2, top_p=0.6)  # of the two likeliest, the first has 0.625
    assert shares(both) == [1, 0, 0, 0]


@pytest.mark.parity
def test_agrees_with_transformers_about_who_may_be_drawn():
    pytest.importorskip("transformers", reason="transformers is not installed")
    from transformers import TopKLogitsWarper, TopPLogitsWarper

    logits = torch.randn(1, 50) * 2
    scores = TopPLogitsWarper(0.8)(None, TopKLogitsWarper(20)(None, logits / 0.7))
    expected = scores.softmax(-1)[0]
    found = torch.tensor(shares(Sampler(temperature=0.7, top_k=20, top_p=0.8), logits[0], count=50_000))
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("sampler", [Sampler(1.0), Sampler(1.0, top_k=3), Sampler(1.0, top_p=0.9)])
def test_the_ends_of_the_scale_draw_tokens_that_can_come(sampler):
    chance = torch.tensor([0.0, torch.nextafter(torch.tensor(1.0), torch.tensor(0.0)).item()])
    first, last = sampler(LOGITS.expand(2, -1), chance).tolist()
    assert {first, last} <= {0, 1, 3}


def test_rows_depend_on_their_seed_alone():
    rows = uniform_rows([3, 4, 3], 10)
    assert torch.equal(rows[0], rows[2])
    assert not torch.equal(rows[0], rows[1])
    assert torch.equal(uniform_rows([4], 25)[0, :10], rows[1])
    assert uniform_rows([1], 10_000).mean().item() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, r"temperature \(-1\)"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_k": -1}, r"top_k \(-1\)"),
        ({"top_p": 0}, r"top_p \(0\)"),
        ({"top_p": 1.5}, r"top_p \(1.5\)"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Sampler(**options)


@pytest.mark.parametrize("sampler", [Sampler(0.7, 5), Sampler(1.3), Sampler(), Sampler(0.5, 1000)])
def test_rows_draw_what_their_sampler_would_draw_whatever_their_neighbours_do(sampler):
    generator = torch.Generator().manual_seed(3)
    logits, chance = torch.randn(64, 50, generator=generator), torch.rand(64, generator=generator)
    rows = RowSampler(3)
    rows.set(0, Sampler(2.0, 40))
    rows.set(1, sampler)
    batch = logits[:, None].expand(-1, 3, -1)
    chances = torch.stack([chance.flip(0), chance, chance], dim=1)
    drawn = [rows(one, lots)[1] for one, lots in zip(batch, chances, strict=True)]
    sorted_too = Sampler(sampler.temperature, sampler.top_k or 50)  # rows begin with the likeliest token
    assert torch.equal(torch.stack(drawn), sorted_too(logits, chance))
    rows.set(0, Sampler())
    again = [rows(one, lots)[1] for one, lots in zip(batch, chances, strict=True)]
    assert drawn == again
    wider = [rows(one, lots, 50)[1] for one, lots in zip(batch, chances, strict=True)]
    assert drawn == wider


def test_rows_have_no_nucleus():
    with pytest.raises(ValueError, match="top_p"):
        RowSampler(1).set(0, Sampler(1.0, top_p=0.5))
