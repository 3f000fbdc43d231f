"""Loss, perplexity and bits per byte."""

import math

import pytest
import torch

from moshi_zoo.losses.cross_entropy import TokenLoss
from moshi_zoo.training.text_metrics import TextMetrics

CPU = torch.device("cpu")


class Spelling:
    """A tokenizer of which only the lengths matter: token i stands for i bytes."""

    def num_bytes(self):
        return [0, 1, 2, 3]


def loss(total, count):
    return TokenLoss(torch.tensor(total), torch.tensor(count))


def test_batches_add_up_token_by_token():
    metrics = TextMetrics(Spelling(), CPU)
    metrics.add(loss(3.0, 2), torch.tensor([[3, 1, 2]]), torch.tensor([[True, False, True]]))
    metrics.add(loss(1.0, 1), torch.tensor([[1, 2, 3]]), torch.tensor([[True, False, False]]))
    values = metrics.finish(lambda sums: sums)
    assert values == pytest.approx(
        {"loss": 4 / 3, "perplexity": math.exp(4 / 3), "tokens": 3, "bits_per_byte": 4 / math.log(2) / 6}
    )
    metrics.add(loss(5.0, 1), torch.tensor([[1]]), torch.tensor([[True]]))
    assert metrics.finish(lambda sums: sums)["loss"] == 5, "it starts anew"


def test_processes_add_up_before_they_are_divided():
    metrics = TextMetrics(Spelling(), CPU)
    metrics.add(loss(3.0, 2), torch.tensor([[3, 1]]), torch.tensor([[True, True]]))
    other = torch.tensor([7.0, 3, 6], dtype=torch.float64)
    values = metrics.finish(lambda sums: sums + other)
    assert values["loss"] == 2
    assert values["bits_per_byte"] == pytest.approx(1 / math.log(2))


def test_nothing_counted_is_no_number_at_all():
    assert TextMetrics(Spelling(), CPU).finish(lambda sums: sums) == {"tokens": 0}


def test_without_a_tokenizer_there_are_no_bits_per_byte():
    metrics = TextMetrics(None, CPU)
    metrics.add(loss(3.0, 2), torch.tensor([[3, 1]]), torch.tensor([[True, True]]))
    assert metrics.finish(lambda sums: sums).keys() == {"loss", "perplexity", "tokens"}
