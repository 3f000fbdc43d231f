import json
from functools import partial
from pathlib import Path

import pytest
import torch

from moshi_zoo import registry
from moshi_zoo.data.text_files import LineReport
from moshi_zoo.evaluation.text_likelihood import token_log_likelihoods
from moshi_zoo.evaluation.text_questions import Choice, Pair, judge_choices, judge_pairs, read_choices, read_pairs
from tests.evaluation.letters import Letters

BLIMP = Path(__file__).parents[3] / "shared/data/text/pairs/blimp_test.jsonl"


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    net = registry.build("helium-tiny").eval()
    with torch.no_grad():
        net.output.weight.mul_(8)
    return net


@torch.no_grad()
def log_likelihood(model, text, start=0):
    """Of the letters of a text from ``start`` on, after bos, by one plain forward pass."""
    tokens = torch.tensor([[1, *Letters().encode(text)]])
    found = model(tokens)[0, :-1].double().log_softmax(-1).gather(1, tokens[0, 1:, None])[:, 0]
    return float(found[start:].sum())


def score_of(model):
    return partial(token_log_likelihoods, model, window=64)


def test_pairs_are_judged_by_the_likelihood_of_whole_sentences(model):
    pairs = [Pair("a cat sleeps", "a cat sleep", ("agreement",)), Pair("dogs run", "dogs runs"), Pair("xy", "yx")]
    verdicts = judge_pairs(score_of(model), Letters(), pairs)
    expected = [log_likelihood(model, p.good) > log_likelihood(model, p.bad) for p in pairs]
    assert [v.right for v in verdicts] == expected
    assert len(set(expected)) == 2, "a test that cannot fail"
    assert verdicts[0].groups == ("agreement",)
    assert [v.chance for v in verdicts] == [0.5] * 3


def test_choices_are_judged_by_sum_and_by_length(model):
    questions = [
        Choice("two and two is", (" four", " three hundred", " a"), 0),
        Choice("a", ("b", "cdefgh"), 1),
        Choice("the dog", (" barks", " meows loudly", " is", " sang"), 2),
    ]
    verdicts = judge_choices(score_of(model), Letters(), questions)
    for question, verdict in zip(questions, verdicts, strict=True):
        sums = [log_likelihood(model, question.context + c, len(question.context)) for c in question.choices]
        means = [s / len(c) for s, c in zip(sums, question.choices, strict=True)]
        assert verdict.right == (sums.index(max(sums)) == question.answer)
        assert verdict.right_by_length == (means.index(max(means)) == question.answer)
        assert verdict.chance == 1 / len(question.choices)
    assert any(v.right != v.right_by_length for v in verdicts), "a test that cannot tell them apart"


def test_a_model_that_knows_nothing_is_at_chance():
    uniform = partial(token_log_likelihoods, lambda tokens: torch.zeros(*tokens.shape, 256), window=64)
    (pair,) = judge_pairs(uniform, Letters(), [Pair("good", "evil")])
    (choice,) = judge_choices(uniform, Letters(), [Choice("is", (" aaaa", " bbbb", " cccc", " dddd"), 1)])
    assert pair.right == 0.5
    assert choice.right == choice.right_by_length == 0.25


class Joined(Letters):
    """Writes ``s `` and ``s a`` as one token each, so that the end of a context depends on what follows."""

    def encode(self, text):
        for token, letters in ((254, "s a"), (255, "s ")):
            if letters in text:
                before, _, after = text.partition(letters)
                return [*Letters.encode(self, before), token, *self.encode(after)]
        return super().encode(text)


def test_no_choice_is_charged_for_more_of_the_context_than_another(model):
    """If tokens join context and answer, the order of the choices is that of the whole texts."""
    question = Choice("it is", (" ant", " bee"), 0)
    (verdict,) = judge_choices(score_of(model), Joined(), [question])

    @torch.no_grad()
    def whole(text):
        tokens = torch.tensor([[1, *Joined().encode(text)]])
        return float(model(tokens)[0, :-1].log_softmax(-1).gather(1, tokens[0, 1:, None]).sum())

    assert verdict.right == (whole("it is ant") > whole("it is bee"))


def written(path, *lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_pairs_are_read_in_both_spellings(tmp_path):
    path = written(
        tmp_path / "pairs.jsonl",
        {"sentence_good": "a", "sentence_bad": "b", "field": "syntax", "UID": "island"},
        {"good": "c", "bad": "d", "uid": "npi"},
        {"good": "e"},
    )
    report = LineReport(0.5)
    assert list(read_pairs(path, report)) == [Pair("a", "b", ("syntax", "island")), Pair("c", "d", ("npi",))]
    assert report.num_bad == 1


def test_choices_are_read_with_their_answer_as_a_place_or_a_text(tmp_path):
    path = written(
        tmp_path / "choices.jsonl",
        {"context": "one plus one is", "choices": ["one", "two"], "answer": 1},
        {"question": "Who?", "choices": ["I", "You"], "answer": "I", "category": "people"},
        {"context": "x ", "choices": ["a", " b"], "answer": 0},
        {"context": "x", "choices": ["a", "b"], "answer": 2},
        {"context": "x", "choices": ["a"], "answer": 0},
        {"choices": ["a", "b"], "answer": 0},
        {"context": "x", "choices": ["a", "b"], "answer": True},
    )
    report = LineReport(0.9)
    assert list(read_choices(path, report)) == [
        Choice("one plus one is", (" one", " two"), 1),
        Choice("Question: Who?\nAnswer:", (" I", " You"), 0, ("people",)),
        Choice("x ", ("a", " b"), 0),
    ]
    assert report.num_bad == 4


@pytest.mark.skipif(not BLIMP.exists(), reason="BLiMP is not in the shared data")
def test_blimp_is_read_whole():
    report = LineReport(0)
    pairs = list(read_pairs(BLIMP, report))
    assert len(pairs) == 2680
    assert len({pair.groups[1] for pair in pairs}) == 67
