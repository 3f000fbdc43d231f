"""Sums over predictions, kind by kind."""

import pytest
import torch

from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.training.moshi_metrics import MoshiMetrics, Predictions

TOKENIZER = Tokenizer.train(["one two three"] * 3, vocab_size=300, control_tokens=3, size="at most")
PAD, EPAD, MARK = TOKENIZER.pad, TOKENIZER.epad, TOKENIZER.heard
ONE, TWO = (TOKENIZER.encode(word) for word in (" one", " two"))
ROW = [PAD, EPAD, *ONE, MARK, *TWO, PAD, MARK, *ONE, *TWO]  # the last word is Moshi's again


def predictions(text, nats, hits):
    text = torch.tensor([text])
    nothing = torch.zeros(2, 3)
    return Predictions(
        loss=torch.tensor(2.0),
        text=text,
        text_mask=torch.ones_like(text, dtype=torch.bool),
        text_nats=torch.tensor([nats]),
        text_hits=torch.tensor([hits]),
        audio_mask=nothing.bool(),
        audio_nats=nothing,
        audio_hits=nothing.bool(),
    )


def metrics(tokenizer):
    device = torch.device("cpu")
    return MoshiMetrics(num_generated=2, num_own=2, pad=PAD, epad=EPAD, device=device, tokenizer=tokenizer)


def test_what_is_heard_is_apart_from_what_moshi_says():
    kinds = ["pad", "epad", *["word"] * len(ONE), "mark", *["heard"] * len(TWO), "pad", "mark"]
    kinds += [*["heard"] * len(ONE), *["word"] * len(TWO)]
    worth = {"pad": 0.25, "epad": 0.5, "word": 1.0, "mark": 2.0, "heard": 4.0}
    nats = [worth[kind] for kind in kinds]
    measured = metrics(TOKENIZER)
    measured.add(predictions(ROW, nats, [kind in ("word", "mark") for kind in kinds]))
    measured.add(predictions([MARK, PAD], [4.0, 0.25], [False, True]))  # in parts, as batches come
    values = measured.finish(lambda sums: sums, batches=2)
    expected = {"pad": 0.25, "epad": 0.5, "word": 1.0, "mark": 8 / 3, "heard_word": 4.0}
    assert {name: values[name] for name in expected} == pytest.approx(expected)
    assert values["text"] == pytest.approx((sum(nats) + 4.25) / (len(nats) + 2))
    right = {"accuracy/word": 1.0, "accuracy/mark": 2 / 3, "accuracy/heard_word": 0.0, "accuracy/epad": 0.0}
    assert {name: values[name] for name in right} == pytest.approx(right)


def test_where_nothing_is_heard_nothing_is_said_of_it():
    for tokenizer in (TOKENIZER, None):
        measured = metrics(tokenizer)
        measured.add(predictions([PAD, *ONE], [1.0] * (1 + len(ONE)), [True] * (1 + len(ONE))))
        values = measured.finish(lambda sums: sums)
        assert values.keys() == {"loss", "text", "pad", "word", "accuracy/word"}
