"""What all suites of ``evaluate`` share: where results go, and under which conditions they were made."""

import inspect
import shlex
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from moshi_zoo.zoo.config import ZooConfig

OUT = Path("runs/evaluations")
"""Where results go if nothing else is said: MODEL/SUITE below it."""


def about_model(name: str, net: "nn.Module", config: "ZooConfig", folder: Path) -> dict[str, Any]:
    """Facts about a model.

    Args:
        name: what the user typed.
        net: the model.
        config: of its zoo folder.
        folder: the zoo folder.
    """
    return {
        "name": folder.parent.name if folder.name == "zoo" else folder.name,
        "path": name,
        "component": config.component,
        "parameters": sum(p.numel() for p in net.parameters()),
        "sha256": config.sha256,
        "stage": config.stage,
    }


def command_line(function: Callable[..., None], verb: str, arguments: Mapping[str, Any]) -> str:
    """The command line that gives a verb's function these arguments, without those that are the defaults."""
    words = ["python", "-m", "moshi_zoo", *verb.split()]
    for name, parameter in inspect.signature(function).parameters.items():
        if (value := arguments[name]) != parameter.default:
            values = [] if value is True else value if isinstance(value, list) else [value]
            words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return shlex.join(words)


def run_facts(command: str, device: str) -> dict[str, Any]:
    """When and on what a command ran."""
    import torch

    where = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return {"command": command, "created": created, "device": where, "threads": torch.get_num_threads()}


def versions(*packages: str) -> dict[str, str]:
    """Of ours, of Python, and of those of the packages that are installed."""
    from importlib.metadata import PackageNotFoundError, version

    from moshi_zoo import __version__

    found = {"moshi_zoo": __version__, "python": sys.version.split()[0]}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
