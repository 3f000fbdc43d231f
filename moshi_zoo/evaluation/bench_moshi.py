"""Moshi's speed and memory beside PyPI ``moshi``, with the same random weights, in the same run.

Training is a forward and a backward pass through both transformers with the loss of moshi-finetune. Both sides keep
only the inputs of their layers, as the recipes of large models do; the package also all logits. A step is a frame of
one conversation as the real-time server takes it, without the codec. It cannot be faster than its weights are read.
"""

import importlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from moshi_zoo import registry
from moshi_zoo.evaluation.bench import (
    OURS,
    Report,
    Row,
    Step,
    is_installed,
    measured_in_a_process,
    peak_memory,
    report,
    resident_memory,
    rows,
    time_side_by_side,
)
from moshi_zoo.host_memory import prepare_to_train
from moshi_zoo.losses.cross_entropy import weighted_cross_entropy
from moshi_zoo.losses.multistream import DepthModel, MultistreamLoss, Targets, code_loss
from moshi_zoo.models.moshi import Moshi
from moshi_zoo.modules.columns import store_by_columns
from moshi_zoo.zoo.convert import export_weights
from moshi_zoo.zoo.moshi_config import kyutai_config

PEERS = {"moshi": "moshi"}
FRAME_RATE = 12.5
BATCH = 2  # clips of a training step
FRAMES = 25  # of a conversation, timed at once


def bench_moshi(*, size: str, device: str, seconds: float, rounds: int, tell: Callable[[str], None]) -> Report:
    """Measure.

    Args:
        size: a preset such as ``moshi-base``.
        device: ``cpu`` or ``cuda``.
        seconds: length of each of the two clips of a training step.
        rounds: measured rounds of the conversation; training takes a third of them.
        tell: is told what is going on.
    """
    present = [name for name, module in PEERS.items() if is_installed(module)]
    names = [OURS, *present]
    wait = torch.cuda.synchronize if device.startswith("cuda") else None
    found = []
    tell(f"training: {size} with random weights for {', '.join(names)}")
    steps = {name: _step(name, "training", size, device, seconds) for name in names}
    times = time_side_by_side(steps, runs=max(rounds // 3, 3), warmup=1, synchronize=wait)
    speeds = {name: _tokens(size, seconds) / timing.median * 1e3 for name, timing in times.items()}
    found += rows("training, tokens/s", speeds, best=max)
    tell("conversation, batch 1")
    steps = {name: _step(name, "step", size, device, seconds) for name in names}
    reading = reading_of(cast("Moshi", registry.build(size).to(device)))
    times = time_side_by_side({**steps, "": reading}, runs=rounds, warmup=2, synchronize=wait)
    floor = times.pop("").median
    found += rows("step, ms a frame", {name: t.median / FRAMES for name, t in times.items()}, best=min)
    found.append(Row("reading its weights once, ms", "memory", floor))
    del steps, reading
    for mode in ("training", "step"):
        tell(f"peak memory, {mode}: a process for each")
        peaks = {name: measured_in_a_process(__name__, name, mode, size, device, seconds) for name in names}
        found += rows(f"peak memory {mode}, MiB", peaks, best=min)
    return report(found, device=device, setting={"size": size, "seconds": seconds}, present=present, peers=PEERS)


def _step(name: str, mode: str, size: str, device: str, seconds: float, *, alike: bool = True) -> Step:
    """What is measured: a training step, or :data:`FRAMES` frames of a conversation.

    ``alike``: with our weights on both sides; otherwise a peer starts with its own, and our model is never there.
    """
    torch.manual_seed(0)
    ours = registry.build(size).to(device) if alike or name == OURS else None
    if name == OURS:
        model = cast("Moshi", ours)
        return our_training(model, _codes(size, seconds)) if mode == "training" else our_conversation(model)
    theirs = their_model(size, device, training=mode == "training", like=ours)
    return their_training(theirs, _codes(size, seconds)) if mode == "training" else their_conversation(theirs)


def their_model(
    size: str, device: str, *, training: bool, like: Moshi | None = None, dtype: torch.dtype = torch.float32
) -> Any:
    """The package's model, with the weights of ours by way of the files that we export, or with random ones."""
    os.environ.setdefault("NO_TORCH_COMPILE", "1")  # of one norm, for which a compiler would take half a minute
    loaders = importlib.import_module("moshi.models.loaders")
    spec = registry.to_portable(registry.complete(registry.preset(size)))
    arguments = kyutai_config(spec)
    del arguments["model_type"]  # as its own loader does
    changes = {"gradient_checkpointing": training}
    with tempfile.TemporaryDirectory() as folder:
        weights = None
        if like is not None:
            weights, _ = export_weights(spec, like.state_dict(), "kyutai", Path(folder))
        model = loaders.get_moshi_lm(weights, arguments, device, dtype, lm_kwargs_overrides=changes)
    return model.train() if training else model.eval()


def our_training(model: Moshi, codes: Tensor) -> Step:
    """A step of training, up to the gradients; returns the loss."""
    codes, objective = codes.to(model.initial_text.device), MultistreamLoss(mean="pooled", epad_weight=0.5)
    names = {"pad": model.pad_token, "epad": model.epad_token, "num_own": model.num_own_codebooks}
    net, model.temporal.transformer.checkpointing = model.depth, True
    depth = DepthModel(net, lambda: net.output.weight, list(net.parameters()), net.chunk)

    def step() -> Tensor:
        model.zero_grad()
        hidden = model.hidden(codes)
        targets = Targets(hidden.text_targets, hidden.text_mask, hidden.audio_mask.unflatten(1, codes[:, 0].shape))
        weights = objective.weights(targets, objective.denominators(targets, **names), **names)
        text = weighted_cross_entropy(hidden.text, model.temporal.output.weight, hidden.text_targets, weights.text)
        loss = text.total + code_loss(depth, hidden.context, hidden.tokens, weights.audio.flatten(1)).total
        loss.backward()
        return loss.detach()

    return step


def their_training(model: Any, codes: Tensor) -> Step:
    """The same with the package's model, as moshi-finetune trains it."""
    codes = codes.to(model.device)
    padding = torch.tensor([model.text_padding_token_id, model.end_of_text_padding_id], device=codes.device)

    def mean(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        losses = F.cross_entropy(logits.flatten(0, -2).float(), targets.flatten(), reduction="none")
        weights = weights.flatten()
        return losses.where(weights > 0, 0.0).mul(weights).sum() / weights.sum()

    def step() -> Tensor:
        model.zero_grad()
        said = model(codes)
        text, audio = codes[:, :1], codes[:, 1 : 1 + model.dep_q]
        text_weights = said.text_mask * torch.where(torch.isin(text, padding), 0.5, 1.0)
        audio_weights = said.mask.float()
        audio_weights[:, 0] *= 100
        loss = mean(said.text_logits, text, text_weights) + mean(said.logits, audio, audio_weights)
        loss.backward()
        return loss.detach()

    return step


def our_conversation(model: Moshi) -> Step:
    """:data:`FRAMES` frames of a conversation with our model, without the codec."""
    store_by_columns(model.eval())
    state = model.init_state(1)
    user = torch.zeros(1, model.num_user_codebooks, 1, dtype=torch.int64, device=model.initial_text.device)

    def step() -> None:
        with torch.inference_mode():
            for _ in range(FRAMES):
                model.step(user, state)

    return step


def their_conversation(model: Any) -> Step:
    """The same with the package's."""
    generator = their_generator(model)
    user = torch.zeros(1, model.num_codebooks - model.dep_q - 1, 1, dtype=torch.int64, device=model.device)

    def step() -> None:
        with torch.no_grad():
            for _ in range(FRAMES):
                generator.step(user)

    return step


def their_generator(model: Any) -> Any:
    """What the package's server talks with, one conversation."""
    generator = importlib.import_module("moshi.models").LMGen(model)
    generator.streaming_forever(1)
    return generator


def reading_of(model: Moshi) -> Step:
    """Reads all that a frame's products need: all weights but the embeddings, of which it takes a few rows."""
    weights = [p.detach().flatten() for name, p in model.named_parameters() if "embedding" not in name]
    return lambda: [torch.dot(weight, weight) for weight in weights]


def _codes(size: str, seconds: float) -> Tensor:
    """Random conversations; two thirds of the text is padding, as in real ones."""
    args = registry.preset(size)["init_args"]
    num_codebooks, num_frames = args["num_own_codebooks"] + args["num_user_codebooks"], round(seconds * FRAME_RATE)
    chance = torch.Generator().manual_seed(0)
    codes = torch.randint(args["codebook_size"], (BATCH, 1 + num_codebooks, num_frames), generator=chance)
    text = torch.randint(4, args["vocab_size"], (BATCH, num_frames), generator=chance)
    codes[:, 0] = text.where(torch.rand(text.shape, generator=chance) < 1 / 3, 3)
    return codes


def _tokens(size: str, seconds: float) -> int:
    """Of a training step, as moshi-finetune counts them: text and generated codes."""
    args = registry.preset(size)["init_args"]
    generated = args["num_own_codebooks"] + (args["num_user_codebooks"] if args["user_heads"] else 0)
    return BATCH * round(seconds * FRAME_RATE) * (1 + generated)


def _measure_memory(name: str, mode: str, size: str, device: str, seconds: float) -> float:
    """MiB over what the process holds after its imports; only meaningful in a process of its own."""
    if name == OURS and mode == "training":
        prepare_to_train()
    _step(name, mode, "moshi-tiny", device, 2.0, alike=False)()  # imports what is needed on the way
    before = resident_memory(device)
    step = _step(name, mode, size, device, seconds, alike=False)
    for _ in range(2):
        step()
    return peak_memory(device) - before


if __name__ == "__main__":
    who, which, preset, where, length, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    print(json.dumps(_measure_memory(who, which, preset, where, float(length))))  # noqa: T201 (read by the parent)
