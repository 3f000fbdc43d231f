"""The depth transformer: the codes of a frame."""

import pytest
import torch

from moshi_zoo.models.depth import DepthSize, DepthTransformer
from moshi_zoo.models.sampling import Sampler

SIZES = {
    "own": {},
    "shared": {"schedule": [0, 1, 2, 2, 1]},
    "low rank": {"embedding_rank": 4},
    "one for all": {"schedule": [0] * 5, "embedding_rank": 4},
    "parallel": {"parallel": True},
}


CHAINED = [name for name in SIZES if name != "parallel"]


def build(**changes):
    size = {"dim": 16, "num_layers": 2, "num_heads": 2, "hidden_dim": 20, **changes}
    return DepthTransformer(DepthSize(**size), num_steps=5, codebook_size=12, vocab_size=30, context_dim=24)


@pytest.fixture(params=SIZES)
def depth(request):
    return build(**SIZES[request.param])


def frames(count):
    context = torch.randn(count, 24)
    tokens = torch.randint(12, (5, count))
    tokens[0] = torch.randint(31, (count,))
    return context, tokens


@torch.no_grad()
def test_generating_gives_the_logits_of_training(depth):
    context, tokens = frames(3)
    expected = depth.output(depth(context, tokens))  # [K, N, V]
    told, seen = iter(tokens[1:]), []

    def choose(logits, chance):
        seen.append(logits)
        return next(told, tokens[0])

    codes = depth.generate(context, tokens[0], choose, torch.zeros(3, 5))
    torch.testing.assert_close(torch.stack(seen), expected, atol=1e-5, rtol=0)
    assert torch.equal(codes[:, :4].t(), tokens[1:])


@torch.no_grad()
def test_fewer_codes_are_the_first_ones(depth):
    context, tokens = frames(2)
    chance = torch.rand(2, 5)
    some, all_ = (depth.generate(context, tokens[0], Sampler(1.0), chance[:, :count]) for count in (3, 5))
    assert torch.equal(some, all_[:, :3])
    assert some.shape == (2, 3)


@torch.no_grad()
@pytest.mark.parametrize("depth", CHAINED, indirect=True)
def test_a_step_sees_earlier_codes_of_its_own_frame_only(depth):
    context, tokens = frames(4)
    before = depth(context, tokens)
    for step in range(5):
        changed = tokens.clone()
        changed[step, 1] = (changed[step, 1] + 1) % 12
        different = (depth(context, changed) != before).any(-1)  # [K, N]
        assert different[step:, 1].all()
        assert not different[:step].any()
        assert not different[:, [0, 2, 3]].any()


def test_nothing_goes_in_where_nothing_is(depth):
    context, tokens = frames(2)
    tokens[2] = -1
    found = depth(context, tokens)
    with torch.no_grad():
        depth.embedding.weight.view(4, 13, -1)[1] += 1  # the row of that code
    assert torch.equal(depth(context, tokens), found)


@torch.no_grad()
def test_parallel_heads_know_nothing_of_each_other():
    depth = build(parallel=True)
    (context, tokens), (_, others) = frames(4), frames(4)
    assert torch.equal(depth(context, tokens), depth(context, others))
    assert not torch.equal(depth(context, tokens), depth(context.flip(0), tokens))


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="weights of 2 steps, but there are 5"):
        build(schedule=[0, 1])
    with pytest.raises(ValueError, match="must use all weights from 0 to 3"):
        build(schedule=[0, 1, 3, 3, 3])
    with pytest.raises(ValueError, match=r"depth dim \(16\) must be divisible by num_heads \(3\)"):
        build(num_heads=3)
