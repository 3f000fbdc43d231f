"""The entropy detector on streams that are constant, periodic, random, and like speech."""

import math

import pytest
import torch

from moshi_zoo.evaluation.artefacts import artefacts, sliding_entropy

PAD, FRAMES = 3, 256


def random_codes(values=256, seed=0):
    return torch.randint(values, (8, FRAMES), generator=torch.Generator().manual_seed(seed))


def test_entropy_of_even_and_of_constant_tokens_is_known():
    found = sliding_entropy(torch.tensor([[0, 1, 2, 3, 0, 1], [7, 7, 7, 7, 7, 7]]), 4)
    assert found.shape == (2, 3)
    torch.testing.assert_close(found[0], torch.full((3,), math.log(4), dtype=torch.float64))
    assert (found[1] == 0).all()


def like_speech():
    """Words that come and go: the text's entropy rises and falls."""
    text = torch.full((FRAMES,), PAD)
    text[40:70] = torch.arange(100, 130)
    text[150:170] = torch.arange(200, 220)
    return text


@pytest.mark.parametrize(
    ("text", "codes", "kind"),
    [
        (torch.full((FRAMES,), PAD), torch.full((8, FRAMES), 5), "silence"),
        (torch.full((FRAMES,), PAD), random_codes(), "background noise"),
        (torch.tensor([7, 8, 9, PAD]).repeat(FRAMES // 4), random_codes(), "repetitive"),
        (torch.arange(100, 100 + FRAMES), random_codes(), "gibberish"),
        (like_speech(), random_codes(), "none"),
        (like_speech(), torch.cat([torch.full((4, FRAMES), 5), random_codes()[4:]]), "noisy"),
    ],
)
def test_each_kind_is_found_in_a_stream_that_shows_it(text, codes, kind):
    found = artefacts(text, codes)
    assert found.most_common(1)[0][0] == kind, found
    assert found.total() == (FRAMES - 63) // 64


def test_a_short_stream_is_one_window():
    assert artefacts(torch.full((20,), PAD), torch.full((8, 20), 5)) == {"silence": 1}
