"""Alignment of many pairs at once."""

import math

import numpy as np
import pytest
import torch

from moshi_zoo.evaluation import dtw
from moshi_zoo.evaluation.dtw import dtw_distances


def directly(a, b):
    """One pair, cell by cell, with the path walked back."""
    between = np.array(
        [[math.acos(np.clip(x @ y / np.linalg.norm(x) / np.linalg.norm(y), -1, 1)) / math.pi for y in b] for x in a]
    )
    cost = np.full((len(a) + 1, len(b) + 1), np.inf)
    cost[0, 0] = 0
    for i in range(len(a)):
        for j in range(len(b)):
            cost[i + 1, j + 1] = between[i, j] + min(cost[i, j], cost[i + 1, j], cost[i, j + 1])
    i, j, cells = len(a), len(b), 1
    while (i, j) != (1, 1):
        i, j = min([(i - 1, j - 1), (i, j - 1), (i - 1, j)], key=lambda cell: cost[cell])
        cells += 1
    return cost[-1, -1] / cells


@pytest.fixture
def sequences():
    lengths = torch.randint(1, 8, (12,)).tolist()
    return [torch.randn(length, 3) for length in lengths]


@pytest.mark.parametrize("chunk", [1, 200, 1 << 22])
def test_it_agrees_with_the_definition_pair_by_pair(sequences, chunk, monkeypatch):
    monkeypatch.setattr(dtw, "_CHUNK", chunk)
    pairs = np.array([(i, j) for i in range(12) for j in range(12)])
    expected = [directly(sequences[i].double().numpy(), sequences[j].double().numpy()) for i, j in pairs]
    np.testing.assert_allclose(dtw_distances(sequences, pairs), expected, atol=1e-7)


def test_the_distance_to_the_same_at_another_tempo_is_zero():
    a = torch.eye(3)
    slow = a.repeat_interleave(2, dim=0) * 5  # and louder
    assert dtw_distances([a, slow, -a], np.array([(0, 1), (1, 0), (0, 2)])) == pytest.approx([0, 0, 1])


def test_single_frames_differ_by_their_angle():
    frames = [torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]]), torch.tensor([[-3.0, 0.0]]), torch.zeros(1, 2)]
    assert dtw_distances(frames, np.array([(0, 0), (0, 1), (0, 2), (0, 3)])) == pytest.approx([0, 0.5, 1, 0.5])
