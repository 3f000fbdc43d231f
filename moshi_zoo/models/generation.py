"""Text continuation: a batch of prompts of any lengths, token by token."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from moshi_zoo.models.helium import Helium
from moshi_zoo.models.sampling import Sampler, uniform_rows
from moshi_zoo.modules.transformer import TransformerState

Step = Callable[[Tensor, TransformerState], Tensor]
"""The newest token of each text, int64 [B, 1], and the state it continues -> logits [B, V] of the next."""

_CHUNK = 256  # tokens of the prompts that are read at once


def generate(
    model: Helium,
    prompts: Sequence[Sequence[int]],
    *,
    max_tokens: int,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int | Sequence[int] = 0,
    eos: int | None = None,
    step: Step | None = None,
) -> Iterator[list[int | None]]:
    """Continue prompts, a token of each at a time.

    Args:
        model: the language model.
        prompts: token ids of each text; at least one a text (such as bos).
        max_tokens: how many to add at most.
        temperature: see :class:`Sampler`; 0 takes the likeliest token.
        top_k: see there.
        top_p: see there.
        seed: of each text; one number gives all texts the same. A continuation depends on nothing else, so that it
            comes out the same alone or in a batch.
        eos: the token that ends a text; it is not given out.
        step: does the model's step, such as compiled; None: the model does.

    Returns:
        The steps: the next token of each text, None for those that have ended. They stop when all have.

    Raises:
        ValueError: if a prompt is empty or has a token the model does not know, or an option is out of range.
    """
    _check(model, prompts, max_tokens)
    seeds = [seed] * len(prompts) if isinstance(seed, int) else list(seed)
    if len(seeds) != len(prompts):
        raise ValueError(f"{len(seeds)} seeds for {len(prompts)} prompts: give one each, or one for all")
    sampler, chance = Sampler(temperature, top_k, top_p), uniform_rows(seeds, max_tokens)
    return _steps(model, prompts, sampler, chance, eos, step)


def step_of(model: Helium) -> Step:
    """The model's step as it is."""
    return lambda tokens, state: model(tokens, state)[:, 0]


def continuations(steps: Iterator[list[int | None]], num_prompts: int) -> list[list[int]]:
    """The whole continuations, from the steps of :func:`generate`."""
    texts: list[list[int]] = [[] for _ in range(num_prompts)]
    for step in steps:
        for text, token in zip(texts, step, strict=True):
            if token is not None:
                text.append(token)
    return texts


@torch.inference_mode()
def _steps(
    model: Helium,
    prompts: Sequence[Sequence[int]],
    sampler: Sampler,
    chance: Tensor,
    eos: int | None,
    step: Step | None,
) -> Iterator[list[int | None]]:
    max_tokens, longest = chance.shape[1], max(map(len, prompts))
    chance = chance.to(model.norm.weight.device)  # [B, max_tokens]
    most, at_once = longest + max_tokens, min(longest, _CHUNK)
    if step is None:
        step = step_of(model)
    else:  # it may be compiled, once for each shape: for texts of about the same length they are the same
        most, at_once = _rounded(most), _rounded(at_once)
    state = model.init_state(len(prompts), at_once, max_positions=most)
    logits = model.output(_read(model, prompts, state))
    ended = [False] * len(prompts)
    for index in range(max_tokens):
        tokens = sampler(logits, chance[:, index])  # [B]
        values = tokens.tolist()
        ended = [was or token == eos for was, token in zip(ended, values, strict=True)]
        if all(ended):
            return
        yield [None if over else token for over, token in zip(ended, values, strict=True)]
        if index + 1 < max_tokens:
            logits = step(tokens[:, None], state)


def _rounded(count: int) -> int:
    """Up to a power of two."""
    return 1 << (count - 1).bit_length()


def _read(model: Helium, prompts: Sequence[Sequence[int]], state: TransformerState) -> Tensor:
    """Feed the prompts; returns the output at the last token of each, [B, D]."""
    device = model.norm.weight.device
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    tokens = torch.zeros(len(prompts), max(map(len, prompts)), dtype=torch.int64)
    for row, prompt in zip(tokens, prompts, strict=True):
        row[: len(prompt)] = torch.tensor(prompt)
    last, stop = [], 0
    for chunk in tokens.to(device).split(_CHUNK, dim=1):
        start, stop = stop, stop + chunk.shape[1]
        hidden = model.hidden(chunk, state)  # [B, T, D]
        # What a short prompt was filled up with never happened: its stream goes on from its own end, over all that.
        state.position.copy_(lengths.clamp(max=stop))
        index = (lengths - 1 - start).clamp(0, stop - start - 1)
        last.append(hidden[torch.arange(len(prompts), device=device), index])
    chunk_of_last = (lengths - 1) // _CHUNK
    return torch.stack(last)[chunk_of_last, torch.arange(len(prompts), device=device)]


def _check(model: Helium, prompts: Sequence[Sequence[int]], max_tokens: int) -> None:
    if max_tokens < 1:
        raise ValueError(f"max_tokens ({max_tokens}) must be at least 1")
    if not prompts:
        raise ValueError("no prompts to continue")
    for index, prompt in enumerate(prompts):
        if not prompt:
            raise ValueError(f"prompt {index} is empty: begin it with the tokenizer's bos")
        if strange := [token for token in prompt if not 0 <= token < model.vocab_size]:
            raise ValueError(
                f"prompt {index} has the token {strange[0]}, but this model's vocabulary has {model.vocab_size}: "
                "use the tokenizer that it was trained with"
            )
