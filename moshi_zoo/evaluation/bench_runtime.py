"""Moshi's step in real time beside PyPI ``moshi``, with the same random weights, in the same run.

On a CPU: the step of one conversation in float32, and with weights of sixteen, eight and four bits; what these change
in the logits; and how long it takes to read the weights once, which no step can do without. On a GPU: bfloat16. On
both: the whole frame, from the sound of the user to that of Moshi, for one conversation and for many in one batch; on
a CPU also with compiled steps, if asked for.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from moshi_zoo import registry
from moshi_zoo.evaluation.bench import (
    COMPILED,
    OURS,
    Report,
    Row,
    Step,
    is_installed,
    random_model,
    report,
    rows,
    time_side_by_side,
)
from moshi_zoo.evaluation.bench_mimi import random_codec, their_codec
from moshi_zoo.evaluation.bench_moshi import (
    FRAMES,
    PEERS,
    our_conversation,
    reading_of,
    their_conversation,
    their_generator,
    their_model,
)
from moshi_zoo.models.mimi import Mimi
from moshi_zoo.models.moshi import Moshi
from moshi_zoo.modules.quantised_layers import PRECISIONS, quantise
from moshi_zoo.runtime.compiled import Compile, Tell, shall_compile
from moshi_zoo.runtime.conversations import Conversations, Heard
from moshi_zoo.tokenizer import Tokenizer

PEER = "moshi"
_FLOOR = "memory"
_QUANTISED = {f"{OURS}, {precision}": precision for precision in PRECISIONS}
_TEXT = "what the pieces of this text are is of no matter: the model draws them by chance"
_PIECES = 300  # of its tokenizer
_HEARD = 50  # random frames that the error of the logits is measured on


def bench_runtime(
    *, size: str, device: str, rounds: int, sessions: Sequence[int], compile: Compile = "never", tell: Tell
) -> Report:
    """Measure.

    Args:
        size: a preset such as ``moshi-base``; its codec is Mimi's preset of that name, or the full one.
        device: ``cpu`` or ``cuda``.
        rounds: of :data:`FRAMES` frames each.
        sessions: numbers of conversations in one batch.
        compile: measure compiled steps, too.
        tell: is told what is going on.
    """
    on_gpu = device.startswith("cuda")
    present = [name for name, module in PEERS.items() if is_installed(module)]
    wait = torch.cuda.synchronize if on_gpu else None
    tell(f"building {size} with random weights for {', '.join([OURS, *present])}")
    model = cast("Moshi", random_model(size, device, dtype=torch.bfloat16 if on_gpu else None))
    their_weights = None if on_gpu else model  # the released size goes through no file
    dtype = model.initial_text.dtype
    theirs = their_model(size, device, training=False, like=their_weights, dtype=dtype) if present else None
    found = []
    is_compiled = shall_compile(compile, torch.device(device), tell=tell)
    if not on_gpu:
        tell("step of one conversation, without the codec")
        found += _steps(model, theirs, rounds, compiling=tell if is_compiled else None)
    codec = random_codec(codec_of(size), device)
    for count in sessions:
        tell(f"whole frames of {count} conversations, with {codec_of(size)}")
        frames: dict[str, Step] = {OURS: _our_frame(model, codec.to(dtype), count)}
        if is_compiled:
            frames[COMPILED] = _our_frame(model, codec, count, compiling=tell)
        if theirs is not None and count == 1 and codec_of(size) == "mimi-full":
            frames[PEER] = _their_frame(theirs, their_codec(device), device)
        found += _frame_rows(frames, count, rounds * FRAMES, wait)
    if on_gpu:
        floor = time_side_by_side({_FLOOR: reading_of(model)}, runs=rounds, synchronize=wait)[_FLOOR].median
        found.append(Row("reading its weights once, ms", _FLOOR, floor))
    return report(found, device=device, setting={"size": size}, present=present, peers=PEERS)


def codec_of(size: str) -> str:
    """The preset of Mimi whose codes a preset of Moshi speaks."""
    name = size.replace("moshi", "mimi", 1)
    return name if name in registry.names(Mimi) else "mimi-full"


def logit_errors(model: Moshi, other: Moshi, codes: Tensor) -> dict[str, float]:
    """How far the logits of two models are apart: a root mean square over that of the first model's deviations.

    Args:
        model: the exact one.
        other: such as its quantised copy.
        codes: conversations, int64 [B, rows, T].

    Returns:
        Of the text, and of the codes.
    """
    with torch.no_grad():
        exact, found = model(codes), other(codes)
    pairs = {
        "text": (exact.text_logits, found.text_logits),
        "codes": (exact.audio_logits, found.audio_logits),
    }
    return {name: float((b - a).norm() / (a - a.mean(-1, keepdim=True)).norm()) for name, (a, b) in pairs.items()}


def _steps(model: Moshi, theirs: Any, rounds: int, *, compiling: Tell | None) -> list[Row]:
    smaller = {name: copy.deepcopy(model) for name in _QUANTISED}
    for name, precision in _QUANTISED.items():
        quantise(smaller[name], precision)
    codes = torch.randint(model.codebook_size, (1, model.num_rows, _HEARD))
    errors = {name: logit_errors(model, other, codes) for name, other in smaller.items()}
    steps = {_FLOOR: reading_of(model), OURS: our_conversation(model)}
    steps |= {name: our_conversation(other) for name, other in smaller.items()}
    if compiling is not None:
        steps[COMPILED] = _compiled_conversation(model, compiling)
        steps |= {f"{name}, compiled": _compiled_conversation(other, compiling) for name, other in smaller.items()}
    if theirs is not None:
        steps[PEER] = their_conversation(theirs)
    times = {name: timing.median for name, timing in time_side_by_side(steps, runs=rounds).items()}
    floor = times.pop(_FLOOR)
    times = {name: time / FRAMES for name, time in times.items()}
    found = rows("step, ms a frame", times, best=min)
    found.append(Row("reading its float32 weights once, ms", _FLOOR, floor))
    exact = [name for name in (OURS, COMPILED) if name in times]
    found += [Row("step over reading its weights once", name, times[name] / floor) for name in exact]
    for kind in ("text", "codes"):
        found += [Row(f"error of the logits, {kind}, %", name, 100 * error[kind]) for name, error in errors.items()]
    return found


def _compiled_conversation(model: Moshi, compiling: Tell) -> Step:
    """:data:`FRAMES` frames of a conversation in codes, as a server has it."""
    conversations = Conversations(model, None, _tokenizer(), compiling=compiling)
    user: dict[int, Heard] = {conversations.join(): torch.zeros(model.num_user_codebooks, dtype=torch.int64)}

    def step() -> None:
        for _ in range(FRAMES):
            conversations.step(user)

    return step


def _our_frame(model: Moshi, codec: Mimi, count: int, *, compiling: Tell | None = None) -> Step:
    conversations = Conversations(model, codec, _tokenizer(), max_sessions=count, compiling=compiling)
    noise = _noise(conversations.frame_size)
    heard: dict[int, Heard] = {conversations.join(): noise for _ in range(count)}
    return lambda: conversations.step(heard)


def _their_frame(model: Any, codec: Any, device: str) -> Step:
    generator = their_generator(model)
    codec.streaming_forever(1)
    noise = _noise(round(codec.sample_rate / codec.frame_rate))

    def step() -> None:
        with torch.no_grad():
            said = generator.step(codec.encode(torch.from_numpy(noise).to(device)[None, None]))
            if said is not None:
                codec.decode(said[:, 1:]).cpu()

    return step


def _frame_rows(steps: Mapping[str, Step], count: int, frames: int, wait: Callable[[], None] | None) -> list[Row]:
    what = "whole frame with the codec" if count == 1 else f"whole frame, {count} conversations"
    times = time_side_by_side(steps, runs=frames, warmup=8, synchronize=wait)
    found = rows(f"{what}, ms", {name: timing.median for name, timing in times.items()}, best=min)
    return [*found, *rows(f"{what}, 99 %, ms", {name: timing.late for name, timing in times.items()}, best=min)]


def _tokenizer() -> Tokenizer:
    return Tokenizer.train([_TEXT], vocab_size=_PIECES, size="at most")


def _noise(samples: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(samples)).astype(np.float32)
