"""One residual chain."""

import itertools

import pytest
import torch

from moshi_zoo import registry
from moshi_zoo.models.mimi import Mimi
from moshi_zoo.modules.quantizer import PlainRVQ, SplitRVQ


@pytest.fixture
def plain():
    rvq = PlainRVQ(16, num_codebooks=4, codebook_size=32, codebook_dim=8, decay=0.9)
    rvq.initialize(torch.randn(600, 16), seed=0)
    return rvq


def test_every_codebook_quantizes_what_the_ones_before_left_over(plain):
    _, (seen,) = plain(torch.randn(8, 16, 40))
    norms = seen.square().mean(dim=(1, 2, 3))
    assert len(norms) == 4
    assert (norms[1:] < norms[:-1]).all()


def test_more_codebooks_are_nearer_to_the_latent(plain):
    latent = torch.randn(8, 16, 40)
    codes = plain.encode(latent)
    assert codes.shape == (8, 4, 40)
    through = plain.unquantized(latent)
    errors = [(plain.decode(codes[:, :k]) - through).square().mean() for k in range(1, 5)]
    assert all(b < a for a, b in itertools.pairwise(errors))


def test_fewer_codebooks_are_a_prefix_and_the_others_learn_all_the_same(plain):
    latent = torch.randn(2, 16, 10)
    output, (seen,) = plain(latent, 2)
    assert torch.equal(output.codes, plain.encode(latent))
    assert len(seen) == 4
    torch.testing.assert_close(output.quantized, plain.decode(output.codes[:, :2]))


def test_the_semantic_part_is_that_of_the_first_codebook_and_reaches_the_latent(plain):
    latent = torch.randn(2, 16, 10, requires_grad=True)
    output, _ = plain(latent, bypass=torch.tensor([True, False]))
    torch.testing.assert_close(output.semantic, plain.decode(output.codes[:, :1]))
    torch.testing.assert_close(output.quantized[1], plain.decode(output.codes)[1])
    torch.testing.assert_close(output.quantized[0], plain.unquantized(latent)[0])
    output.semantic.square().mean().backward()
    assert (latent.grad.abs().sum(dim=(1, 2)) > 0).all()


def test_the_split_quantizers_semantic_part_is_its_own_branch():
    split = SplitRVQ(16, num_codebooks=4, codebook_size=32, codebook_dim=8)
    split.initialize(torch.randn(600, 16), seed=0)
    output, _ = split(torch.randn(2, 16, 10))
    torch.testing.assert_close(output.semantic, split.decode(output.codes[:, :1]))


def test_training_moves_all_of_its_codebooks(plain):
    latent = torch.randn(8, 16, 40) * 0.3 + 1
    before = [book.entries()[0].clone() for book in plain.codebooks]
    first = plain(latent)[0].commitment_loss
    for step in range(60):
        output, seen = plain(latent)
        plain.update(output.codes, seen, seed=step)
    assert plain(latent)[0].commitment_loss < 0.6 * first
    assert not any(torch.equal(a, book.entries()[0]) for a, book in zip(before, plain.codebooks, strict=True))


def test_a_codec_can_have_it_instead_of_the_split_one():
    sizes = {"num_codebooks": 4, "codebook_size": 32, "codebook_dim": 16}
    quantizer = {"class_path": "moshi_zoo.modules.quantizer.PlainRVQ", "init_args": sizes}
    codec = registry.build("mimi-tiny", quantizer=quantizer)
    assert isinstance(codec, Mimi)
    codec.quantizer.initialize(torch.randn(100, 32), seed=0)
    codes = codec.eval().encode(torch.randn(1, 1, 1920 * 3))
    assert codes.shape == (1, 4, 3)
    assert codec.decode(codes).shape == (1, 1, 1920 * 3)
