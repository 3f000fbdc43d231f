"""Residual vector quantization with codebooks learnt by moving averages (Moshi paper 3.3.2; SoundStream, EnCodec).

:class:`SplitRVQ` is Mimi's: one semantic codebook beside a residual chain of acoustic ones. Both read the same latent
and their outputs are added, so that distillation can shape the first without costing the others. :class:`PlainRVQ` is
what it is compared with.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from moshi_zoo.modules.codebook import Codebook
from moshi_zoo.modules.linear import Linear
from moshi_zoo.registry import register


@dataclass
class QuantizerOutput:
    """What training needs of a quantizer.

    Args:
        quantized: [B, C, T], with the gradient passed straight through; bypassed items unquantized.
        codes: int64 [B, K, T] of all codebooks, also of those that quantizer dropout leaves out of ``quantized``.
        commitment_loss: scalar, mean squared distance of the (projected) latents from their centroids.
        semantic: [B, C, T], the first codebook's part of ``quantized``, never bypassed: what distillation teaches.
    """

    quantized: Tensor
    codes: Tensor
    commitment_loss: Tensor
    semantic: Tensor


class ResidualVQ(nn.Module):
    """A chain of codebooks, each quantizing what the ones before left over, between two projections.

    Args:
        dim: width of the latent C.
        num_codebooks: length of the chain K.
        codebook_size: entries of each.
        codebook_dim: width D inside.
        decay: of the codebooks' moving averages.
    """

    def __init__(self, dim: int, *, num_codebooks: int, codebook_size: int, codebook_dim: int, decay: float):
        super().__init__()
        self.input_proj = Linear(dim, codebook_dim, bias=False)
        self.output_proj = Linear(codebook_dim, dim, bias=False)
        books = nn.ModuleList(Codebook(codebook_size, codebook_dim, decay=decay) for _ in range(num_codebooks))
        self.codebooks = cast("Sequence[Codebook]", books)

    def encode(self, latent: Tensor, num_codebooks: int) -> Tensor:
        """[B, C, T] -> codes [B, K, T]."""
        return self._search(self._project(latent), num_codebooks)[0]

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, K, T] -> [B, C, T]."""
        total = _total(codebook.decode(code) for codebook, code in zip(self.codebooks, codes.unbind(1), strict=False))
        return self.output_proj(total.to(self.output_proj.weight.dtype)).transpose(1, 2)

    def forward(self, latent: Tensor, num_codebooks: int, bypass: Tensor) -> tuple[QuantizerOutput, Tensor]:
        """Quantize for training; also returns the residuals before each codebook [K, B, T, D], which it learns from.

        The output has ``num_codebooks`` of the chain; codes and residuals come from all.
        """
        x = self._project(latent)
        # All codebooks search and learn, used or not: those at the end of the chain are used in few steps, and would
        # lose touch with an encoder that moves in every one.
        codes, seen = self._search(x, len(self.codebooks))
        residuals = torch.stack(seen)  # [K, B, T, D]
        entries = torch.stack([c.decode(k) for c, k in zip(self.codebooks, codes.unbind(1), strict=True)])
        commitment_loss = F.mse_loss(residuals[:num_codebooks], entries[:num_codebooks])
        straight, first = (x + (passed - x).detach() for passed in (entries[:num_codebooks].sum(dim=0), entries[0]))
        mixed = torch.where(bypass[:, None, None], x, straight)
        output = QuantizerOutput(self._restore(mixed), codes, commitment_loss, self._restore(first))
        return output, residuals.detach()

    def update(self, codes: Tensor, residuals: Tensor, start: int, generator: torch.Generator) -> None:
        """Move some codebooks towards a batch.

        Args:
            codes: [B, k, T] of these codebooks.
            residuals: what they saw, [k, B, T, D].
            start: place of the first of them in the chain.
            generator: chooses the vectors that replace dead entries.
        """
        k, B, T, D = residuals.shape
        residuals = residuals.reshape(k, B * T, D)
        indices = codes.transpose(0, 1).reshape(k, B * T)
        size = self.codebooks[start].cluster_usage.numel()
        counts = residuals.new_zeros(k, size).scatter_add_(1, indices, torch.ones_like(residuals[..., 0]))
        sums = residuals.new_zeros(k, size, D).scatter_add_(1, indices[..., None].expand(-1, -1, D), residuals)
        candidates = _pick_from_processes(residuals, size, generator)
        counts, sums, candidates = _sum_over_processes(counts, sums, candidates)
        for level, codebook in enumerate(self.codebooks[start : start + k]):
            codebook.update(counts[level], sums[level], candidates[level])

    def unquantized(self, latent: Tensor) -> Tensor:
        """Both projections and nothing between: [B, C, T] -> [B, C, T]."""
        return self._restore(self._project(latent))

    def _project(self, latent: Tensor) -> Tensor:
        return self.input_proj(latent.transpose(1, 2)).float()  # [B, T, D]

    def _restore(self, x: Tensor) -> Tensor:
        return self.output_proj(x.to(self.output_proj.weight.dtype)).transpose(1, 2)

    def _search(self, x: Tensor, num_codebooks: int) -> tuple[Tensor, list[Tensor]]:
        """[B, T, D] -> codes [B, K, T], and what each codebook saw, [B, T, D] each."""
        codes, residuals = [], [x]
        with torch.autocast(x.device.type, enabled=False):  # near ties flip in half precision
            for codebook in self.codebooks[:num_codebooks]:
                code, entry = codebook.nearest(residuals[-1].detach())
                codes.append(code)
                residuals.append(residuals[-1] - entry)  # which has no gradient: each level's commitment reaches x
        return torch.stack(codes, dim=1), residuals[:-1]


class Quantizer(nn.Module, ABC):
    """Latent [B, C, T] <-> codes [B, K, T]."""

    num_codebooks: int
    codebook_size: int

    @property
    @abstractmethod
    def branches(self) -> Sequence[ResidualVQ]:
        """Its residual chains; their codes follow one another along K."""

    @property
    def codebooks(self) -> list[Codebook]:
        """All codebooks, in the order of the codes."""
        return [codebook for branch in self.branches for codebook in branch.codebooks]

    @property
    def num_started(self) -> int:
        """How many codebooks, counted from the first, have entries."""
        return len(list(takewhile(lambda codebook: codebook.is_started, self.codebooks)))

    @property
    def is_initialized(self) -> bool:
        """Whether all codebooks have entries."""
        return self.num_started == self.num_codebooks

    def encode(self, latent: Tensor, num_codebooks: int | None = None) -> Tensor:
        """[B, C, T] -> codes [B, K, T]."""
        counts = self._split(self._checked(num_codebooks))
        return torch.cat([b.encode(latent, n) for b, n in zip(self.branches, counts, strict=True) if n], dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, K, T] of the first K codebooks -> [B, C, T]."""
        counts = self._split(self._checked(codes.shape[1]))
        parts = codes.split(counts, dim=1)
        return _total(b.decode(part) for b, part in zip(self.branches, parts, strict=True) if part.shape[1])

    def forward(
        self, latent: Tensor, num_codebooks: int | None = None, bypass: Tensor | None = None
    ) -> tuple[QuantizerOutput, list[Tensor]]:
        """Quantize for training.

        Args:
            latent: [B, C, T].
            num_codebooks: use the first so many (quantizer dropout); None: all.
            bypass: bool [B], items that reach the decoder unquantized; None: none.

        Returns:
            The output, and for each branch what its codebooks saw, [K, B, T, D], for :meth:`update`.
        """
        if bypass is None:
            bypass = torch.zeros(latent.shape[0], dtype=torch.bool, device=latent.device)
        counts = self._split(self._checked(num_codebooks))
        used = [(branch, n) for branch, n in zip(self.branches, counts, strict=True) if n]
        outputs, seen = zip(*[branch(latent, n, bypass) for branch, n in used], strict=True)
        total = sum(n for _, n in used)
        merged = QuantizerOutput(
            quantized=_total(o.quantized for o in outputs),
            codes=torch.cat([o.codes for o in outputs], dim=1),
            commitment_loss=_total(o.commitment_loss * (n / total) for o, (_, n) in zip(outputs, used, strict=True)),
            semantic=outputs[0].semantic,
        )
        return merged, list(seen)

    def unquantized(self, latent: Tensor) -> Tensor:
        """What the decoder gets where everything is bypassed: [B, C, T] -> [B, C, T]."""
        return _total(branch.unquantized(latent) for branch in self.branches)

    @torch.no_grad()
    def initialize(self, latents: Tensor, *, seed: int) -> None:
        """Start all codebooks at once by k-means, level after level; those that have entries keep them.

        Args:
            latents: [N, C], the same on all processes.
            seed: of the first choice of centroids.
        """
        with torch.autocast(latents.device.type, enabled=False):  # centroids in half precision would stay there
            for branch in self.branches:
                residual = branch.input_proj(latents.to(branch.input_proj.weight.dtype)).float()
                for level, codebook in enumerate(branch.codebooks):
                    if not codebook.is_started:
                        codebook.initialize(residual, generator=torch.Generator().manual_seed(seed + level))
                        _copy_from_first_process(codebook.embedding_sum, codebook.cluster_usage)
                    residual = residual - codebook.decode(codebook.encode(residual))

    @torch.no_grad()
    def update(self, codes: Tensor, seen: list[Tensor], *, seed: int, num_kept: int = 0) -> None:
        """Move the codebooks that have entries towards a training batch, equally on all processes.

        Args:
            codes: [B, K, T] of :meth:`forward`.
            seen: its second result.
            seed: of the choice of vectors that replace dead entries; the same on all processes.
            num_kept: the first so many codebooks stay as they are.
        """
        generator = torch.Generator().manual_seed(seed)
        num_started, before = self.num_started, 0
        for branch, residuals in zip(self.branches, seen, strict=False):
            start, stop = (min(max(n - before, 0), len(residuals)) for n in (num_kept, num_started))
            if start < stop:
                branch.update(codes[:, before + start : before + stop], residuals[start:stop], start, generator)
            before += len(residuals)

    @abstractmethod
    def _split(self, num_codebooks: int) -> list[int]:
        """How many codebooks each branch uses when this many are in use."""

    def _checked(self, num_codebooks: int | None) -> int:
        if num_codebooks is None:
            return self.num_codebooks
        if not 1 <= num_codebooks <= self.num_codebooks:
            raise ValueError(f"num_codebooks is {num_codebooks}, but this codec has 1 to {self.num_codebooks}")
        return num_codebooks


@register("split-rvq")
class SplitRVQ(Quantizer):
    """One semantic codebook beside a residual chain of acoustic ones.

    Args:
        dim: width of the latent.
        num_codebooks: of both kinds together.
        codebook_size: entries of each.
        codebook_dim: their width.
        decay: of the moving averages.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_codebooks: int = 32,
        codebook_size: int = 2048,
        codebook_dim: int = 256,
        decay: float = 0.99,
    ):
        super().__init__()
        self.num_codebooks, self.codebook_size = num_codebooks, codebook_size
        sizes = {"codebook_size": codebook_size, "codebook_dim": codebook_dim, "decay": decay}
        self.semantic = ResidualVQ(dim, num_codebooks=1, **sizes)
        self.acoustic = ResidualVQ(dim, num_codebooks=num_codebooks - 1, **sizes)

    @property
    def branches(self) -> Sequence[ResidualVQ]:
        """Semantic, then acoustic."""
        return self.semantic, self.acoustic

    def _split(self, num_codebooks: int) -> list[int]:
        return [1, num_codebooks - 1]


@register("plain-rvq")
class PlainRVQ(Quantizer):
    """One residual chain: what the first codebook leaves over is all that the others get.

    Teaching its first codebook costs the sound's quality (Moshi paper 3.3.2): it shows what the split is good for.

    Args:
        dim: width of the latent.
        num_codebooks: length of the chain.
        codebook_size: entries of each.
        codebook_dim: their width.
        decay: of the moving averages.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_codebooks: int = 32,
        codebook_size: int = 2048,
        codebook_dim: int = 256,
        decay: float = 0.99,
    ):
        super().__init__()
        self.num_codebooks, self.codebook_size = num_codebooks, codebook_size
        sizes = {"codebook_size": codebook_size, "codebook_dim": codebook_dim, "decay": decay}
        self.chain = ResidualVQ(dim, num_codebooks=num_codebooks, **sizes)

    @property
    def branches(self) -> Sequence[ResidualVQ]:
        """The chain."""
        return (self.chain,)

    def _split(self, num_codebooks: int) -> list[int]:
        return [num_codebooks]


def _total(parts: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(parts)).sum(dim=0)


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _copy_from_first_process(*tensors: Tensor) -> None:
    """Sums over clusters come in any order on a GPU: their last bits differ between processes."""
    if _is_distributed():
        for tensor in tensors:
            dist.broadcast(tensor, src=0)


def _pick_from_processes(vectors: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Choose among the vectors [K, N, D] of all processes, alike on each: [K, count, D], zeros for those of others."""
    rank, world_size = (dist.get_rank(), dist.get_world_size()) if _is_distributed() else (0, 1)
    N = vectors.shape[1]
    places = torch.randint(world_size * N, (count,), generator=generator).to(vectors.device)
    is_mine = places // N == rank
    return torch.where(is_mine[:, None], vectors[:, places % N], 0.0)


def _sum_over_processes(counts: Tensor, sums: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    if not _is_distributed():
        return counts, sums, candidates
    message = torch.cat([counts[..., None], sums, candidates], dim=-1)  # one for all levels
    dist.all_reduce(message)
    counts, sums, candidates = message.split([1, sums.shape[-1], candidates.shape[-1]], dim=-1)
    return counts[..., 0], sums, candidates
