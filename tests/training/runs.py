"""Training runs from the command line, in the current folder: started, cut off, and what they measured."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

from lightning.pytorch import Callback

from moshi_zoo.__main__ import main

ROOT = Path(__file__).parents[2]
POWER_CUT = f"{__name__}.PowerCut"
"""Name of :class:`PowerCut` for a recipe."""

_SPEEDS = ("train/tokens_per_second", "train/mfu")


class PowerCut(Callback):
    """Ends the process after a step, or raises an error."""

    def __init__(self, *, after: int, kill: bool = True):
        self.after, self.kill = after, kill

    def on_train_batch_end(self, trainer, pl_module, *args):
        if trainer.global_step == self.after:
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("power cut")


def fit(*words):
    return main(["fit", *map(str, words)])


def separately(*words):
    """In a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "moshi_zoo", "fit", *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


def logged(name, *, stage="train"):
    """What was measured at each step, but for the speed; where a step was made twice, the second time."""
    measured = {}
    with Path(f"runs/{name}/metrics.csv").open() as file:
        for row in csv.DictReader(file):
            values = {key: float(value) for key, value in row.items() if key.startswith(f"{stage}/") and value}
            for speed in _SPEEDS:
                values.pop(speed, None)
            if values:
                measured[int(row["step"])] = values
    return measured
