"""What the codebooks learn beside the gradient: their start from k-means, then moving averages, once a step."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from moshi_zoo.models.mimi import MimiOutput
from moshi_zoo.modules.quantizer import Quantizer
from moshi_zoo.training.codec_parts import KeptCodebooks


class CodebookLearning:
    """Collects the batches of an optimizer step, and teaches the codebooks when that step has been made.

    Waiting for the step keeps a clip with broken samples out of the codebooks, and makes accumulated batches equal one
    large batch.

    Args:
        quantize_from: step from which the latents are quantized, at least 1: codebooks that have not started do so
            before it, from the latents of the last steps.
        pool: latents to start from, at least (as far as there are).
        seed: of k-means and of the vectors that replace dead entries.
        keep: codebooks that stay as they are; ``started`` are those with entries when the run begins.
    """

    def __init__(self, *, quantize_from: int, pool: int, seed: int, keep: KeptCodebooks = "none"):
        self.quantize_from, self.pool, self.seed, self.keep = quantize_from, pool, seed, keep
        self.num_kept: int | None = None  # unknown before the run begins
        self._latents: list[Tensor] = []  # of the last steps of all processes, each [N, C]
        self._new_latents: list[Tensor] = []  # of this step, as long as some codebook has not started
        self._seen: list[tuple[Tensor, list[Tensor]]] = []  # of this step, after that: codes, and what led to them

    def begin(self, quantizer: Quantizer) -> int:
        """See which codebooks the run starts with; a resumed run knows. Returns how many will stay as they are."""
        if self.num_kept is None:
            self.num_kept = {"none": 0, "started": quantizer.num_started, "all": quantizer.num_codebooks}[self.keep]
        return self.num_kept

    def see(self, output: MimiOutput, quantizer: Quantizer) -> None:
        """Take in a batch."""
        if self.keep == "all":
            return
        if output.quantized is not None and output.seen is not None:
            self._seen.append((output.quantized.codes, output.seen))
        if not quantizer.is_initialized:
            latents = output.latent.detach().transpose(1, 2).flatten(0, 1)  # [B, C, T] -> [N, C]
            self._new_latents.append(latents.float())

    def skip(self) -> None:
        """Forget the batches of a step: it was not made."""
        self._new_latents.clear()
        self._seen.clear()

    def learn(self, quantizer: Quantizer, step: int, gather: Callable[[Tensor], Tensor]) -> None:
        """Learn from the batches of a step; every process calls this.

        Args:
            quantizer: whose codebooks they are.
            step: number of the step just made.
            gather: stacks a tensor over processes, [N, C] -> [..., N, C].
        """
        if self._seen:
            codes, seen = zip(*self._seen, strict=True)
            quantizer.update(
                torch.cat(codes),  # [B, K, T]
                [torch.cat(branch, dim=1) for branch in zip(*seen, strict=True)],  # each [K, B, T, D]
                seed=self.seed + step,
                num_kept=self.begin(quantizer),
            )
        if self._new_latents:
            # Gathered step by step: in the order of one large batch, and all of them for process 0 to save.
            self._latents.append(torch.cat([gather(latents).flatten(0, -2) for latents in self._new_latents]))
            while sum(map(len, self._latents[1:])) >= self.pool:
                self._latents.pop(0)
            if step + 1 >= self.quantize_from:
                self._start(quantizer)
        self.skip()

    def state_dict(self) -> dict[str, Any]:
        """The latents so far, and the codebooks that stay."""
        return {"latents": list(self._latents), "num_kept": self.num_kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with them."""
        self._latents, self.num_kept = list(state["latents"]), state["num_kept"]

    def _start(self, quantizer: Quantizer) -> None:
        device = self._latents[-1].device  # those from a checkpoint are on the CPU
        quantizer.initialize(torch.cat([latents.to(device) for latents in self._latents]), seed=self.seed)
        self._latents.clear()
