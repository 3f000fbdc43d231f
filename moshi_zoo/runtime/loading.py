"""Conversations with a model of the zoo."""

from functools import partial
from typing import Literal

import torch

from moshi_zoo.models.moshi import Moshi
from moshi_zoo.modules.quantised_layers import Precision, quantise
from moshi_zoo.runtime.compiled import CannotCompile, Compile, Tell, shall_compile
from moshi_zoo.runtime.conversations import Conversations
from moshi_zoo.runtime.pair import load_pair

Threads = int | Literal["auto"] | None
"""Of the CPU, for a step: so many; as many as pay, of those there are; None: PyTorch's, whatever they are."""

_SMALL = 50_000_000
"""Parameters of a model whose steps are over before their work could be shared out among threads."""


def load_conversations(
    name: str,
    *,
    codec: str | None = None,
    voice: str | None = None,
    max_sessions: int = 1,
    device: str = "cpu",
    weights: Precision | None = None,
    compile: Compile = "never",
    threads: Threads = None,
    tell: Tell = lambda what: None,
) -> Conversations:
    """Conversations with a model of the zoo.

    Args:
        name: of the Moshi.
        codec: name of its codec; None: the one that its zoo folder names as a parent.
        voice: name of an adapter of the Moshi.
        max_sessions: conversations at once.
        device: where to compute.
        weights: of the Moshi on a CPU, in fewer bits (see :func:`quantise`); None: as they are.
        compile: compile the steps, here and now.
        threads: that the calling thread shares its steps with.
        tell: hears about compiling.

    Raises:
        ValueError: if one is not there, is something else, or does not fit the others; or steps are always to be
            compiled, and cannot.
    """
    pair = load_pair(name, codec=codec, voice=voice, device=device)
    if weights is not None:
        quantise(pair.moshi, weights)
    if threads is not None:
        torch.set_num_threads(_paying(pair.moshi) if threads == "auto" else threads)
    begin = partial(
        Conversations,
        pair.moshi,
        pair.codec,
        pair.tokenizer,
        max_sessions=max_sessions,
        text_layout=pair.text_layout,
        sampling=pair.sampling,
    )
    if shall_compile(compile, pair.moshi.initial_text.device, max_sessions=max_sessions, tell=tell):
        compiled = begin(compiling=tell)
        try:
            compiled.warm_up()
        except CannotCompile as error:
            if compile == "always":
                raise
            tell(f"steps are not compiled: {error}")
        else:
            return compiled
    return begin()


def _paying(moshi: Moshi) -> int:
    is_small = sum(p.numel() for p in moshi.parameters()) < _SMALL
    return 1 if is_small and moshi.initial_text.device.type == "cpu" else torch.get_num_threads()
