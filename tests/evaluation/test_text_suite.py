import json

import numpy as np
import pytest
import torch

from moshi_zoo import registry
from moshi_zoo.evaluation.ngram import NGram
from moshi_zoo.evaluation.text_questions import Choice, Pair
from moshi_zoo.evaluation.text_report import as_json, as_markdown
from moshi_zoo.evaluation.text_suite import TextSettings, evaluate_text
from tests.evaluation.letters import Letters

TEXTS = ["the cat sat on the mat", "grüße an alle", "", "one two three four five six"]
BASELINE = ["the dog sat on the log", "one two three"]
SETTINGS = TextSettings(window=32, resamples=50)
CONTEXT = {"model": {"name": "tiny", "stage": None}}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return registry.build("helium-tiny").eval()


@pytest.fixture(scope="module")
def report(model):
    pairs = [Pair("aa", "bb", ("g",)), Pair("cc", "dd", ("h",)), Pair("ee", "ff", ("h",))]
    choices = [Choice("x", (" y", " z"), 0, ("k",))]
    return evaluate_text(model, Letters(), TEXTS, SETTINGS, baseline=BASELINE, pairs=pairs, choices=choices)


def figures(report):
    return {figure.measure.name: figure for figure in report.figures}


@torch.no_grad()
def test_bits_per_byte_are_those_of_each_document_from_bos_to_eos(model, report):
    bits = 0.0
    for text in filter(None, TEXTS):
        tokens = torch.tensor([[1, *text.encode(), 2]])
        bits -= float(model(tokens)[0, :-1].double().log_softmax(-1).gather(1, tokens[0, 1:, None]).sum()) / np.log(2)
    num_bytes = sum(len(text.encode()) for text in TEXTS)
    assert figures(report)["bits_per_byte_model"].value == pytest.approx(bits / num_bytes, rel=1e-5)
    assert report.counts == {"documents": 3, "bytes": num_bytes, "tokens": num_bytes + 3, "baseline_bytes": 35}
    perplexity = figures(report)["perplexity"]
    assert perplexity.value == pytest.approx(2 ** (bits / (num_bytes + 3)), rel=1e-5)
    assert perplexity.interval.low <= perplexity.value <= perplexity.interval.high


def test_the_ngrams_learn_from_the_baseline_and_pay_for_the_end_too(report):
    of_bytes = NGram([[*text.encode(), 256] for text in BASELINE], vocab_size=257)
    bits = -sum(of_bytes.log2_probabilities([*text.encode(), 256]).sum() for text in TEXTS if text)
    found = figures(report)["bits_per_byte_ngram_bytes"].value
    assert found == pytest.approx(bits / report.counts["bytes"])
    best = min(found, figures(report)["bits_per_byte_ngram_tokens"].value)
    assert figures(report)["saved"].value == pytest.approx(1 - figures(report)["bits_per_byte_model"].value / best)


def test_a_long_document_is_resampled_in_stretches(model):
    text = "".join(chr(97 + i * i % 26) for i in range(9000))
    found = figures(evaluate_text(model, Letters(), [text], SETTINGS))["bits_per_byte_model"]
    assert found.count == 3
    assert found.interval.low < found.value < found.interval.high


def test_questions_are_counted_by_group_large_groups_first(report):
    assert [(result.group, result.figures[0].count) for result in report.pairs] == [("all", 3), ("h", 2), ("g", 1)]
    assert [len(result.figures) for result in report.choices] == [2, 2]


def test_what_was_not_asked_for_is_named(model):
    alone = evaluate_text(model, Letters(), TEXTS, SETTINGS)
    assert alone.skipped.keys() == {"5-gram", "minimal pairs", "multiple choice"}
    asked = evaluate_text(model, Letters(), [], SETTINGS, pairs=[Pair("a", "b")])
    assert "bits per byte" in asked.skipped
    assert "documents," not in as_markdown(asked, CONTEXT)
    with pytest.raises(ValueError, match="no text to evaluate"):
        evaluate_text(model, Letters(), [""], SETTINGS)


def test_the_report_is_json_and_markdown(report):
    content = json.loads(as_json(report, CONTEXT), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert content["suite"] == "text"
    assert content["settings"]["window"] == 32
    assert {"low", "high", "value"} <= content["figures"][0].keys()
    assert [group["group"] for group in content["minimal_pairs"]] == ["all", "h", "g"]
    assert [figure["name"] for figure in content["multiple_choice"][0]["figures"]] == ["choices", "choices_by_length"]
    text = as_markdown(report, CONTEXT)
    assert "| the model, bits per byte ↓" in text
    assert "## Minimal pairs" in text
    assert "right, by length ↑" in text
    assert "3 documents, " in text
    assert "## Not measured" not in text
