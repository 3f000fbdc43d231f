"""A codebook learnt by moving averages, and the k-means it starts from (Moshi paper 3.3.2; SoundStream, EnCodec).

It holds ``embedding_sum`` and ``cluster_usage`` (moving sums of the vectors and counts assigned to each entry); their
ratio is the centroid. They get no gradient: training updates them in :meth:`Codebook.update`.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_EPSILON = 1e-5


class Codebook(nn.Module):
    """Entries [V, D] and how often each is used.

    Args:
        size: number of entries V.
        dim: their width D.
        decay: of the moving averages.
        dead_below: an entry used less than this share of the mean is replaced by a vector of the batch.
    """

    embedding_sum: Tensor
    cluster_usage: Tensor
    initialized: Tensor

    def __init__(self, size: int, dim: int, *, decay: float = 0.99, dead_below: float = 0.1):
        super().__init__()
        self.decay, self.dead_below = decay, dead_below
        self.register_buffer("embedding_sum", torch.empty(size, dim))
        self.register_buffer("cluster_usage", torch.empty(size))
        self.register_buffer("initialized", torch.empty(1))
        self.reset_parameters()
        self._cache: tuple[tuple[int, ...], Tensor, Tensor] | None = None
        self._started: tuple[tuple[int, ...], bool] | None = None
        self._fixed: tuple[Tensor, Tensor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        # A copy has versions of its own, and may lie where the original was before it moved to shared memory.
        return {**self.__dict__, "_cache": None, "_started": None, "_fixed": None}

    def reset_parameters(self) -> None:
        """No entries yet: everything is quantized to zero."""
        nn.init.zeros_(self.embedding_sum)
        nn.init.ones_(self.cluster_usage)
        nn.init.zeros_(self.initialized)

    @property
    def is_started(self) -> bool:
        """Whether it has entries; the device is asked when that may have changed, not in every step."""
        if self.initialized.is_inference():
            return bool(self.initialized)
        version = self.initialized._version, self.initialized.data_ptr()
        if self._started is None or self._started[0] != version:
            self._started = version, bool(self.initialized)
        return self._started[1]

    def entries(self) -> tuple[Tensor, Tensor]:
        """Centroids [V, D] and half their squared norms [V], float32; remembered until a buffer changes."""
        if self._fixed is not None:
            return self._fixed
        sums = self.embedding_sum
        if sums.is_inference():  # no version to tell a change by
            return self._entries()
        version = sums._version, self.cluster_usage._version, sums.data_ptr()
        if self._cache is None or self._cache[0] != version:
            self._cache = version, *self._entries()
        return self._cache[1:]

    def fix(self) -> None:
        """Keep to the entries of now, for streams: a compiled step cannot see whether they have changed."""
        self._fixed = self._entries()

    def _entries(self) -> tuple[Tensor, Tensor]:
        centroids = self.embedding_sum.float() / self.cluster_usage.float().clamp(min=_EPSILON)[:, None]
        return centroids, centroids.square().sum(dim=1) / 2

    def encode(self, x: Tensor) -> Tensor:
        """Index of the nearest entry: [..., D] -> [...]."""
        return self.nearest(x)[0]

    def nearest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Index of the nearest entry, and the entry: [..., D] -> [...], [..., D]."""
        centroids, half_norms = self.entries()
        scores = torch.addmm(half_norms, x.reshape(-1, x.shape[-1]), centroids.t(), alpha=-1)  # |x - c|² / 2 - |x|² / 2
        codes = scores.argmin(dim=-1).view(x.shape[:-1])
        return codes, F.embedding(codes, centroids)

    def decode(self, codes: Tensor) -> Tensor:
        """Entries of codes: [...] -> [..., D]."""
        return F.embedding(codes, self.entries()[0])

    @torch.no_grad()
    def initialize(self, vectors: Tensor, *, generator: torch.Generator, iterations: int = 50) -> None:
        """Start from k-means on vectors [N, D] (the same on all processes)."""
        centroids, counts = kmeans(vectors, len(self.cluster_usage), generator=generator, iterations=iterations)
        counts.clamp_(min=1)
        self.embedding_sum.copy_(centroids * counts[:, None])
        self.cluster_usage.copy_(counts)
        self.initialized.fill_(1)

    @torch.no_grad()
    def update(self, counts: Tensor, sums: Tensor, candidates: Tensor) -> None:
        """Move towards a batch's statistics, and give dead entries a new place.

        Args:
            counts: vectors assigned to each entry [V].
            sums: sums of those vectors [V, D].
            candidates: vectors [V, D] to replace dead entries with.
        """
        mean_usage = self.cluster_usage.mean()
        dead = self.cluster_usage < self.dead_below * mean_usage
        self.embedding_sum.copy_(torch.where(dead[:, None], candidates * mean_usage, self.embedding_sum))
        self.cluster_usage.copy_(torch.where(dead, mean_usage, self.cluster_usage))
        self.embedding_sum.lerp_(sums, 1 - self.decay)
        self.cluster_usage.lerp_(counts, 1 - self.decay)


def kmeans(x: Tensor, num_clusters: int, *, generator: torch.Generator, iterations: int) -> tuple[Tensor, Tensor]:
    """Lloyd's algorithm on [N, D]: centroids [V, D] and counts [V]; an empty cluster restarts at a random vector."""

    def draw() -> Tensor:
        if len(x) >= num_clusters:
            return x[torch.randperm(len(x), generator=generator)[:num_clusters].to(x.device)]
        return x[torch.randint(len(x), (num_clusters,), generator=generator).to(x.device)]

    centroids = draw()
    counts = x.new_zeros(num_clusters)
    for _ in range(iterations):
        nearest = torch.addmm(centroids.square().sum(1) / 2, x, centroids.t(), alpha=-1).argmin(dim=1)
        counts = torch.bincount(nearest, minlength=num_clusters).to(x.dtype)
        sums = torch.zeros_like(centroids).index_add_(0, nearest, x)
        centroids = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], draw())
    return centroids, counts
