"""How much memory converting a large model takes: less than 0.3 of its file, beyond the mapping of the file.

pytest -m large tests/zoo/test_conversion_memory.py -s
"""

import json
import subprocess
import sys

import pytest
import torch

from moshi_zoo import registry
from moshi_zoo.zoo import exports, folder
from moshi_zoo.zoo.convert import Format
from moshi_zoo.zoo.deferred import defer

pytestmark = pytest.mark.large

MODELS: dict[str, tuple[str, dict, Format]] = {
    "helium": (
        "helium-1-preview-2b",
        {"vocab_size": 32_000, "dim": 2048, "transformer": {"num_layers": 20, "num_heads": 16, "hidden_dim": 5632}},
        "hf",
    ),
    "moshi": (
        "moshi-7b",
        {
            "dim": 1536,
            "transformer": {"num_layers": 24, "num_heads": 12, "hidden_dim": 4224},
            "depth": {"dim": 512, "num_layers": 6, "num_heads": 8, "hidden_dim": 1408},
        },
        "kyutai",
    ),
}
# Runs a verb and prints the largest amount of anonymous memory that it had in use, beyond what its libraries take.
MEASURED = """
import json, sys, threading
import torch, safetensors.torch, soundfile
from moshi_zoo.zoo import convert, exports, folder  # noqa
from moshi_zoo import registry
from moshi_zoo.__main__ import main

def anonymous():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

registry.names()
before, peak, done = anonymous(), 0, threading.Event()

def watch():
    global peak
    while not done.wait(0.002):
        peak = max(peak, anonymous())

threading.Thread(target=watch, daemon=True).start()
code = main(sys.argv[1:])
done.set()
print(json.dumps({"code": code, "bytes": peak - before}))
"""


def merged(base, changes):
    return {
        key: merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
        for key, value in {**base, **changes}.items()
    }


def measured(folder_, *words):
    made = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, words)], cwd=folder_, capture_output=True, text=True, check=True
    )
    result = json.loads(made.stdout.splitlines()[-1])
    assert result["code"] == 0, made.stderr
    return result["bytes"]


@pytest.mark.parametrize("name", MODELS)
def test_a_billion_parameters_are_converted_in_little_memory(tmp_path, name, capsys):
    preset, changes, layout = MODELS[name]
    portable = registry.to_portable(registry.complete(registry.preset(preset)))
    spec = {**portable, "init_args": merged(portable["init_args"], changes)}
    with torch.device("meta"):
        outline = registry.instantiate(registry.from_portable(spec)).bfloat16().state_dict()
    zeros = {key: defer(like, lambda like=like: torch.ones_like(like, device="cpu")) for key, like in outline.items()}
    if name == "helium":
        exports.helium_to_hf(spec, zeros, "llama", tmp_path / "theirs", None)
    else:
        exports.moshi_to_kyutai(spec, zeros, tmp_path / "theirs", None)
    size = (tmp_path / "theirs/model.safetensors").stat().st_size
    assert size > 1.9e9
    brought = measured(tmp_path, "import", "theirs", "--format", layout, "--preset", preset, "--out", "ours")
    (tmp_path / "theirs/model.safetensors").unlink()
    assert (tmp_path / "ours" / folder.WEIGHTS).stat().st_size == pytest.approx(size, rel=1e-3)
    sent = measured(tmp_path, "export", "ours", "--format", "hf-llama" if name == "helium" else layout, "--out", "back")
    with capsys.disabled():
        print(f"\n{name}, {size / 1e9:.2f} GB: import {brought / 1e6:.0f} MB, export {sent / 1e6:.0f} MB")  # noqa: T201
    assert brought < 0.3 * size
    assert sent < 0.3 * size
