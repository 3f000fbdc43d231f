"""Helium's speed and memory beside ``transformers`` at equal size, with random weights, in the same run.

Training is forward, backward and an AdamW step on both sides; generation continues one prompt with the likeliest
tokens, also with quantised weights. Both are measured compiled, too, if asked for.
"""

import importlib
import json
import sys
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from moshi_zoo import registry
from moshi_zoo.evaluation.bench import (
    COMPILED,
    OURS,
    Report,
    Step,
    is_installed,
    measured_in_a_process,
    peak_memory,
    random_model,
    report,
    resident_memory,
    rows,
    time_side_by_side,
)
from moshi_zoo.losses.cross_entropy import chunked_cross_entropy
from moshi_zoo.models.generation import continuations, generate
from moshi_zoo.models.helium import Helium
from moshi_zoo.modules.quantised_layers import PRECISIONS, Precision, quantise
from moshi_zoo.runtime.compiled import Compile, Tell, compiled_text_step, shall_compile
from moshi_zoo.zoo import helium_format

PEERS = {"transformers": "transformers"}
PROMPT, NEW = 16, 64  # tokens of a continuation
BATCH, LENGTH = 4, 256  # of a training step, at most
_OPTIMIZER = {"lr": 1e-4, "betas": (0.9, 0.95), "weight_decay": 0.1, "fused": True}


def bench_helium(*, size: str, device: str, rounds: int, compile: Compile = "never", tell: Tell) -> Report:
    """Measure.

    Args:
        size: a preset such as ``helium-base``.
        device: ``cpu`` or ``cuda``.
        rounds: measured rounds of generation; training takes a third of them.
        compile: measure compiled code, too: layers in training, as recipes/with/compile.yaml has them; steps.
        tell: is told what is going on.
    """
    present = [name for name, module in PEERS.items() if is_installed(module)]
    names = [OURS, *present]
    wait = torch.cuda.synchronize if device.startswith("cuda") else None
    is_compiled = shall_compile(compile, torch.device(device), tell=tell)
    found = []
    for mode, runs, unit in (
        ("training", max(rounds // 3, 3), "tokens/s"),
        ("generation", rounds, "tokens/s, batch 1"),
    ):
        tell(f"{mode}: {size} with random weights for {', '.join(names)}")
        steps = {name: _step(name, mode, size, device) for name in names}
        if mode == "generation" and device == "cpu":
            steps |= {f"{OURS}, {kind}": _our_generation(size, device, precision=kind) for kind in PRECISIONS}
        if is_compiled and mode == "training":
            steps[COMPILED] = _compiled_training(size)
        elif is_compiled:
            steps[COMPILED] = _our_generation(size, device, compiling=tell)
            steps[f"{OURS}, float16, compiled"] = _our_generation(size, device, precision="float16", compiling=tell)
        times = time_side_by_side(steps, runs=runs, warmup=1, synchronize=wait)
        tokens = _batch(size).numel() if mode == "training" else NEW
        speeds = {name: tokens / timing.median * 1e3 for name, timing in times.items()}
        found += rows(f"{mode}, {unit}", speeds, best=max)
        del steps
    for mode in ("training", "generation"):
        tell(f"peak memory, {mode}: a process for each")
        peaks = {name: measured_in_a_process(__name__, name, mode, size, device) for name in names}
        found += rows(f"peak memory {mode}, MiB", peaks, best=min)
    return report(found, device=device, setting={"size": size}, present=present, peers=PEERS)


def _step(name: str, mode: str, size: str, device: str) -> Step:
    """What is measured: a training step, or a continuation."""
    if name == OURS and mode == "generation":
        return _our_generation(size, device)
    torch.manual_seed(0)
    if name == OURS:
        return _our_training(registry.build(size).to(device), size)
    model = _theirs(size).to(device)
    return _their_training(model, size) if mode == "training" else _their_generation(model)


def _compiled_training(size: str) -> Step:
    torch.manual_seed(0)
    model = cast("Helium", registry.build(size))
    for layer in model.transformer.layers:
        layer.compile()
    return _our_training(model, size)


def _theirs(size: str) -> Any:
    transformers = importlib.import_module("transformers")
    spec = registry.to_portable(registry.complete(registry.preset(size)))
    config = transformers.HeliumConfig(**helium_format.hf_config(spec, "helium"))
    return transformers.HeliumForCausalLM(config)


def _our_training(model: Helium, size: str) -> Step:
    batch = _batch(size).to(model.output.weight.device)

    def loss() -> Tensor:
        return chunked_cross_entropy(model.hidden(batch[:, :-1]), model.output.weight, batch[:, 1:]).mean

    return _training(model, loss)


def _their_training(model: Any, size: str) -> Step:
    batch = _batch(size).to(model.device)
    return _training(model, lambda: model(input_ids=batch, labels=batch, use_cache=False).loss)


def _training(model: torch.nn.Module, loss: Callable[[], Tensor]) -> Step:
    optimizer = torch.optim.AdamW(model.train().parameters(), **_OPTIMIZER)
    device = next(model.parameters()).device.type

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            value = loss()
        value.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _our_generation(
    size: str, device: str, *, precision: Precision | None = None, compiling: Tell | None = None
) -> Step:
    model, prompt = cast("Helium", random_model(size, device)), _prompt().tolist()
    if precision is not None:
        quantise(model, precision)
    step = None if compiling is None else compiled_text_step(model, compiling)
    return lambda: continuations(generate(model, [prompt], max_tokens=NEW, step=step), 1)


def _their_generation(model: Any) -> Step:
    model.eval()
    prompt = _prompt()[None].to(model.device)
    options = {"max_new_tokens": NEW, "do_sample": False, "eos_token_id": None, "pad_token_id": 3}

    def step() -> Tensor:
        with torch.inference_mode():
            return model.generate(prompt, attention_mask=torch.ones_like(prompt), **options)

    return step


def _batch(size: str) -> Tensor:
    args = registry.preset(size)["init_args"]
    length = min(LENGTH, args["transformer"]["context"])
    return torch.randint(4, args["vocab_size"], (BATCH, length), generator=torch.Generator().manual_seed(0))


def _prompt() -> Tensor:
    return torch.arange(4, 4 + PROMPT)


def _measure_memory(name: str, mode: str, size: str, device: str) -> float:
    """MiB over what the process holds after its imports; only meaningful in a process of its own."""
    _step(name, mode, "helium-tiny", device)()  # imports what is needed on the way
    before = resident_memory(device)
    step = _step(name, mode, size, device)
    for _ in range(2):
        step()
    return peak_memory(device) - before


if __name__ == "__main__":
    who, which, preset, where, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    print(json.dumps(_measure_memory(who, which, preset, where)))  # noqa: T201 (read by the parent process)
