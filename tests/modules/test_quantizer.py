"""Codebooks: nearest entries, moving averages, dead entries, k-means, and two processes."""

import copy

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from moshi_zoo.modules.codebook import Codebook, kmeans
from moshi_zoo.modules.quantizer import SplitRVQ


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def quantizer(**sizes):
    torch.manual_seed(0)
    rvq = SplitRVQ(16, **({"num_codebooks": 5, "codebook_size": 32, "codebook_dim": 8} | sizes))
    rvq.initialize(torch.randn(600, 16), seed=0)
    return rvq


def test_the_nearest_entry_is_found():
    book, x = Codebook(50, 6), torch.randn(3, 40, 6)
    book.initialize(torch.randn(200, 6), generator=seeded(), iterations=5)
    centroids = book.embedding_sum / book.cluster_usage[:, None]
    assert torch.equal(book.encode(x), torch.cdist(x, centroids).argmin(-1))
    torch.testing.assert_close(book.decode(book.encode(centroids)), centroids)


def test_changed_entries_are_noticed():
    book = Codebook(4, 2)
    book.initialize(torch.randn(20, 2), generator=seeded(), iterations=2)
    before = book.decode(torch.tensor([1])).clone()
    book.embedding_sum.mul_(2)
    torch.testing.assert_close(book.decode(torch.tensor([1])), 2 * before)
    book.load_state_dict({k: v * 3 for k, v in book.state_dict().items()} | {"cluster_usage": book.cluster_usage})
    torch.testing.assert_close(book.decode(torch.tensor([1])), 6 * before)


def test_fixed_entries_stay_but_not_in_a_copy():
    codebook = Codebook(4, 2)
    codebook.embedding_sum.copy_(torch.eye(4, 2))
    codebook.fix()
    codebook.embedding_sum.fill_(5.0)
    assert torch.equal(codebook.entries()[0], torch.eye(4, 2))
    assert torch.equal(copy.deepcopy(codebook).entries()[0], torch.full((4, 2), 5.0))


def test_a_copy_remembers_no_entries_of_the_original():
    book = Codebook(4, 2)
    book.initialize(torch.randn(20, 2), generator=seeded(), iterations=2)
    assert book.is_started
    book.entries()
    made = copy.deepcopy(book)
    assert (made._cache, made._started) == (None, None)
    torch.testing.assert_close(made.entries(), book.entries())


def test_one_update_is_the_closed_form():
    book = Codebook(3, 2, decay=0.9, dead_below=0.0)
    book.embedding_sum.copy_(torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]]))
    book.cluster_usage.copy_(torch.tensor([2.0, 3.0, 1.0]))
    counts, sums = torch.tensor([1.0, 0.0, 2.0]), torch.tensor([[1.5, 0.5], [0.0, 0.0], [2.0, 4.0]])
    expected = 0.9 * book.embedding_sum + 0.1 * sums, 0.9 * book.cluster_usage + 0.1 * counts
    book.update(counts, sums, torch.zeros(3, 2))
    torch.testing.assert_close((book.embedding_sum, book.cluster_usage), expected)


def test_dead_entries_move_to_vectors_of_the_batch():
    rvq = quantizer()
    book = rvq.codebooks[2]
    book.cluster_usage[7] = 1e-4
    before = book.entries()[0].clone()
    latent = torch.randn(4, 16, 10)
    output, seen = rvq(latent)
    rvq.update(output.codes, seen, seed=3)
    candidates = seen[1][1].reshape(-1, 8)  # what the second acoustic book saw
    moved = book.entries()[0][7]
    assert not torch.allclose(moved, before[7], atol=1e-2)
    assert (candidates - moved).norm(dim=1).min() < 0.2 * candidates.norm(dim=1).mean()


def test_training_moves_the_entries_towards_the_data():
    rvq = quantizer(decay=0.9)
    latent = torch.randn(8, 16, 40) * 0.3 + 1
    first = rvq(latent)[0].commitment_loss
    for step in range(60):
        output, seen = rvq(latent)
        rvq.update(output.codes, seen, seed=step)
    assert rvq(latent)[0].commitment_loss < 0.6 * first


def test_residuals_shrink_level_by_level():
    rvq = quantizer()
    _, (_, acoustic) = rvq(torch.randn(8, 16, 40))
    norms = acoustic.square().mean(dim=(1, 2, 3))
    assert (norms[1:] < norms[:-1]).all()


def extended(num_codebooks):
    """A quantizer with the codebooks of another one, and some that have not started."""
    old, new = quantizer(), SplitRVQ(16, num_codebooks=num_codebooks, codebook_size=32, codebook_dim=8)
    new.load_state_dict(new.state_dict() | old.state_dict())
    return old, new


def test_codebooks_that_have_entries_keep_them_when_others_start():
    old, new = extended(7)
    latent = torch.randn(8, 16, 40)
    assert (new.num_started, new.is_initialized) == (5, False)
    new.initialize(latent.transpose(1, 2).flatten(0, 1), seed=1)
    assert new.is_initialized
    assert torch.equal(new.encode(latent)[:, :5], old.encode(latent))
    norms = new(latent)[1][1].square().mean(dim=(1, 2, 3))
    assert (norms[1:] < norms[:-1]).all()


def test_codebooks_that_have_not_started_do_not_learn_and_add_nothing():
    old, new = extended(7)
    latent = torch.randn(8, 16, 40)
    output, seen = new(latent, 5)
    torch.testing.assert_close(output.quantized, old(latent)[0].quantized)
    new.update(output.codes, seen, seed=0)
    output, seen = old(latent)
    old.update(output.codes, seen, seed=0)
    assert all(torch.equal(tensor, new.state_dict()[name]) for name, tensor in old.state_dict().items())
    assert not any(book.embedding_sum.any() for book in new.codebooks[5:])


@pytest.mark.parametrize("num_kept", [1, 3, 5])
def test_the_first_codebooks_can_be_kept(num_kept):
    rvq = quantizer()
    before = [book.embedding_sum.clone() for book in rvq.codebooks]
    output, seen = rvq(torch.randn(8, 16, 40))
    rvq.update(output.codes, seen, seed=0, num_kept=num_kept)
    moved = [not torch.equal(a, book.embedding_sum) for a, book in zip(before, rvq.codebooks, strict=True)]
    assert moved == [False] * num_kept + [True] * (5 - num_kept)


def test_kmeans_finds_separate_clusters_and_counts_them():
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    x = centres.repeat(25, 1) + 0.1 * torch.randn(100, 2, generator=seeded())
    found, counts = kmeans(x, 4, generator=seeded(1), iterations=30)
    assert torch.cdist(centres, found).min(dim=1).values.max() < 0.2
    assert counts.sum() == 100


def test_more_entries_than_vectors_can_be_started():
    rvq = SplitRVQ(16, num_codebooks=3, codebook_size=64, codebook_dim=8)
    rvq.initialize(torch.randn(10, 16), seed=0)
    assert rvq.is_initialized
    assert torch.isfinite(rvq(torch.randn(2, 16, 5))[0].quantized).all()


def test_half_precision_around_it_does_not_change_the_search():
    rvq, latent = quantizer(), torch.randn(2, 16, 30)
    x = rvq.acoustic.input_proj(latent.transpose(1, 2))
    with torch.autocast("cpu", torch.bfloat16):
        codes, _ = rvq.acoustic._search(x, 4)
    assert torch.equal(codes, rvq.acoustic._search(x, 4)[0])


def _train(rank, world, port, latents, start, results):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    rvq = copy.deepcopy(start)
    for step in range(3):
        output, seen = rvq(latents[rank::world])
        rvq.update(output.codes, seen, seed=step)
    results[rank] = {k: v.clone() for k, v in rvq.state_dict().items()}
    dist.destroy_process_group()


@pytest.mark.distributed
def test_two_processes_learn_the_codebooks_of_one(unused_port):
    start = quantizer()
    for book in start.codebooks:
        book.dead_below = 0.0  # replacements are drawn from the first process's vectors
    latents = torch.randn(4, 16, 25)
    with mp.Manager() as manager:
        results = manager.dict()
        mp.spawn(_train, (2, unused_port, latents, start, results), nprocs=2)
        first, second = results[0], results[1]
    assert all(torch.equal(first[k], second[k]) for k in first)
    alone = copy.deepcopy(start)
    for step in range(3):
        output, seen = alone(latents)
        alone.update(output.codes, seen, seed=step)
    for name, tensor in alone.state_dict().items():
        torch.testing.assert_close(first[name], tensor, atol=1e-5, rtol=1e-5)
