"""Importing has no effects, needs no order, and is quick where it must be."""

import subprocess
import sys
from pathlib import Path

from moshi_zoo.__main__ import VERBS

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "moshi_zoo").rglob("*.py")
)
EACH_ALONE = """
import importlib, os, sys
import aiohttp, jsonargparse, lightning.pytorch.cli, omegaconf, safetensors.torch, soundfile, soxr, torch  # once
failed = []
for name in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        try:
            importlib.import_module(name)
        except BaseException as error:
            print(f"{name}: {error!r}", flush=True)
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        failed.append(name)
sys.exit(bool(failed))
"""


def run(code: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env={"PYTHONPATH": str(ROOT)})


def test_every_module_can_be_the_first_to_be_imported(tmp_path):
    done = run(EACH_ALONE, *MODULES, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(tmp_path.iterdir()), "an import left files"


def test_the_package_and_the_verbs_do_not_import_torch(tmp_path):
    light = sorted({verb.target.partition(":")[0] for verb in VERBS.values()} | {"moshi_zoo", "moshi_zoo.__main__"})
    code = "import importlib, sys; [importlib.import_module(n) for n in sys.argv[1:]]; sys.exit('torch' in sys.modules)"
    done = run(code, *light, cwd=tmp_path)
    assert done.returncode == 0, f"{light} import torch: {done.stderr}"
