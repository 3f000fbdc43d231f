import numpy as np
import pytest
import torch

from moshi_zoo import registry
from moshi_zoo.evaluation.text_likelihood import token_log_likelihoods

V = 256


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    net = registry.build("helium-tiny").eval()
    with torch.no_grad():
        net.output.weight.mul_(8)  # far from uniform, so that an error shows
    return net


def sequences(*lengths):
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(V, (length,), generator=generator).tolist() for length in lengths]


@torch.no_grad()
def one_by_one(model, tokens, starts):
    """A model call for each token, which reads from ``starts[i]`` on."""
    found = []
    for i in range(1, len(tokens)):
        logits = model(torch.tensor([tokens[starts[i] : i]]))[0, -1].double()
        found.append(float(logits.log_softmax(-1)[tokens[i]]))
    return found


@pytest.mark.parametrize("batch_tokens", [1, 30, 4096])
def test_each_token_is_scored_once_given_all_before_it(model, batch_tokens):
    some = sequences(9, 2, 17, 1, 12)
    found = list(token_log_likelihoods(model, some, window=32, batch_tokens=batch_tokens))
    assert [len(scores) for scores in found] == [8, 1, 16, 0, 11]
    for tokens, scores in zip(some, found, strict=True):
        assert scores == pytest.approx(one_by_one(model, tokens, [0] * len(tokens)), abs=1e-4)


def test_long_sequences_are_scored_in_windows_with_half_a_window_before_each_token(model):
    (tokens,) = sequences(27)
    (scores,) = token_log_likelihoods(model, [tokens], window=8)
    # the first window ends before token 9, and each next one 4 tokens later: it reads 8 tokens up to there
    ends = [0, *[8] * 8, *[12] * 4, *[16] * 4, *[20] * 4, *[24] * 4, *[26] * 2]
    assert scores == pytest.approx(one_by_one(model, tokens, [max(0, end - 8) for end in ends]), abs=1e-4)


def test_a_wider_window_is_never_less_context(model):
    read = []

    def spy(tokens):
        read.append(tokens.shape[1])
        return model(tokens)

    list(token_log_likelihoods(spy, sequences(40, 5), window=16))
    assert max(read) == 16


def test_sequences_are_taken_as_they_are_needed(model):
    taken = []
    many = (taken.append(i) or tokens for i, tokens in enumerate(sequences(*[10] * 100)))
    scores = token_log_likelihoods(model, many, window=32, batch_tokens=10)
    next(scores)
    assert len(taken) < 20
    assert len(list(scores)) == 99


def test_a_uniform_model_gives_a_uniform_score():
    (scores,) = token_log_likelihoods(lambda tokens: torch.zeros(*tokens.shape, 10), [[1, 2, 3]], window=4)
    assert scores == pytest.approx([-np.log(10)] * 2)


def test_what_cannot_be_scored_is_refused(model):
    with pytest.raises(ValueError, match="window of 1"):
        list(token_log_likelihoods(model, [[1, 2]], window=1))
    with pytest.raises(ValueError, match="empty sequence"):
        list(token_log_likelihoods(model, [[]], window=8))
