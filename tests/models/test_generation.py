"""Text continuation."""

import pytest
import torch

from moshi_zoo import registry
from moshi_zoo.models import generation
from moshi_zoo.models.generation import continuations, generate


@pytest.fixture(scope="module")
def helium():
    torch.manual_seed(0)
    return registry.build("helium-tiny").eval()


PROMPTS = [[1, 5, 9], [1], [1, *range(10, 60)], [1, 7, 7, 7, 30]]  # the third is longer than the window of 32


def continued(model, prompts, **options):
    return continuations(generate(model, prompts, **{"max_tokens": 40, **options}), len(prompts))


@torch.no_grad()
def naive(model, prompt, count):
    text = list(prompt)
    for _ in range(count):
        text.append(model(torch.tensor([text]))[0, -1].argmax().item())
    return text[len(prompt) :]


def test_greedy_texts_equal_those_without_a_cache(helium):
    assert continued(helium, PROMPTS) == [naive(helium, prompt, 40) for prompt in PROMPTS]


def test_prompts_are_read_in_pieces_with_the_same_result(helium, monkeypatch):
    expected = continued(helium, PROMPTS)
    monkeypatch.setattr(generation, "_CHUNK", 8)
    assert continued(helium, PROMPTS) == expected


@pytest.mark.parametrize("options", [{}, {"top_k": 20}, {"top_p": 0.9}])
def test_a_row_comes_out_the_same_alone_and_among_others(helium, options):
    options = {"temperature": 0.9, **options}
    together = continued(helium, PROMPTS, seed=[5, 6, 7, 8], **options)
    alone = [continued(helium, [p], seed=s, **options)[0] for p, s in zip(PROMPTS, [5, 6, 7, 8], strict=True)]
    assert together == alone
    assert continued(helium, PROMPTS[:1], seed=99, **options) != together[:1]


def test_texts_end_at_eos_and_the_others_go_on(helium):
    whole = continued(helium, PROMPTS)
    eos = whole[0][10]
    ended = continued(helium, PROMPTS, eos=eos)
    for text, full in zip(ended, whole, strict=True):
        assert text == (full[: full.index(eos)] if eos in full else full)
    assert len(ended[0]) < 40


def test_steps_stop_when_all_texts_have_ended(helium):
    first = next(iter(generate(helium, [[1]], max_tokens=1)))[0]
    assert list(generate(helium, [[1], [1]], max_tokens=9, eos=first)) == []


def test_steps_come_one_by_one(helium, monkeypatch):
    calls = []
    hidden = type(helium).hidden
    monkeypatch.setattr(type(helium), "hidden", lambda self, *a: calls.append(1) or hidden(self, *a))
    steps = generate(helium, [[1, 2]], max_tokens=30)
    assert not calls
    next(steps)
    next(steps)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        ([], {}, "no prompts"),
        ([[1], []], {}, "prompt 1 is empty"),
        ([[1, 256]], {}, "has the token 256, but this model's vocabulary has 256"),
        ([[1, -1]], {}, "has the token -1"),
        ([[1]], {"max_tokens": 0}, r"max_tokens \(0\)"),
        ([[1]], {"seed": [1, 2]}, "2 seeds for 1 prompts"),
        ([[1]], {"top_p": 2.0}, "top_p"),
    ],
)
def test_wrong_use_is_refused_at_once(helium, prompts, options, message):
    with pytest.raises(ValueError, match=message):
        generate(helium, prompts, **{"max_tokens": 5, **options})


def test_another_step_can_do_the_work(helium):
    taken = []

    def step(tokens, state):
        taken.append(tokens.shape)
        return generation.step_of(helium)(tokens, state)

    assert continued(helium, PROMPTS, step=step) == continued(helium, PROMPTS)
    assert taken == [(4, 1)] * 39  # the first token comes with the prompts
