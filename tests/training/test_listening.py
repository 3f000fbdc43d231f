"""The additional loss on what the user says."""

import pytest
import torch

from moshi_zoo.registry import instantiate, preset
from moshi_zoo.training.listening import Listening, ListeningSize


@pytest.fixture
def moshi():
    torch.manual_seed(0)
    return instantiate(preset("moshi-tiny"))


def dialogues(moshi, count=3, length=10):
    return torch.randint(4, 20, (count, moshi.num_rows, length))


def loss_of(moshi, listening, codes, heard):
    moshi.hidden(codes)
    return listening(heard, listening.denominator(heard), chunk=7)


def test_layers_up_to_the_chosen_one_learn_what_is_said_and_those_behind_it_do_not(moshi):
    listening = Listening(moshi, ListeningSize(layer=1))
    codes = dialogues(moshi)
    loss_of(moshi, listening, codes, codes[:, 5]).backward()
    first, second = moshi.temporal.transformer.layers
    assert all(parameter.grad is not None for parameter in first.parameters())
    assert all(parameter.grad is None for parameter in second.parameters())
    assert listening.output.weight.grad.abs().sum() > 0


def test_it_is_the_weighted_mean_over_known_words_whatever_parts_a_batch_comes_in(moshi):
    listening = Listening(moshi, ListeningSize(layer=2, weight=3.0, pad_weight=0.25))
    codes = dialogues(moshi, count=4)
    heard = codes[:, 0].clone()
    heard[:, :4], heard[1, 6], heard[2] = moshi.pad_token, -1, -1
    seen = []
    hook = moshi.temporal.transformer.layers[1].register_forward_hook(lambda _, __, x: seen.append(x))
    whole = loss_of(moshi, listening, codes, heard)
    hook.remove()
    nats = torch.nn.functional.cross_entropy(
        listening.output(listening.norm(seen[0])).flatten(0, 1), heard.clamp(0).flatten(), reduction="none"
    ).view_as(heard)
    weights = torch.where(heard == moshi.pad_token, 0.25, 1.0) * (heard >= 0)
    torch.testing.assert_close(whole, 3 * (nats * weights).sum() / weights.sum())
    parts = []
    for part, words in zip(codes.chunk(2), heard.chunk(2), strict=True):
        moshi.hidden(part)
        parts.append(listening(words, listening.denominator(heard), chunk=100))
    torch.testing.assert_close(sum(parts), whole)


def test_a_small_model_learns_to_hear_and_says_how_well(moshi):
    listening = Listening(moshi, ListeningSize(layer=1))
    codes = dialogues(moshi, count=8)
    heard = codes[:, 5].roll(1, 1)  # the user's first code, a frame later
    heard[:, 0] = -1
    optimizer = torch.optim.Adam([*moshi.parameters(), *listening.parameters()], lr=0.02)
    for _ in range(60):
        listening.finish(lambda sums: sums)
        optimizer.zero_grad()
        loss_of(moshi, listening, codes, heard).backward()
        optimizer.step()
    measured = listening.finish(lambda sums: sums)
    assert measured["accuracy/heard"] > 0.9
    assert measured["heard"] < 0.5
    assert listening.finish(lambda sums: sums) == {}


def test_a_layer_that_is_not_there_is_refused(moshi):
    with pytest.raises(ValueError, match=r"listening\.layer is 3; the temporal transformer has 2"):
        Listening(moshi, ListeningSize(layer=3))
