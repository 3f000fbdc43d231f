"""From the name of a codec to the codec, for all verbs that need one."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moshi_zoo.models.mimi import Mimi
    from moshi_zoo.zoo.config import ZooConfig


@dataclass(frozen=True)
class LoadedCodec:
    """A codec, ready to use, and where it came from."""

    net: "Mimi"
    config: "ZooConfig"
    folder: Path


def load_codec(name: str, device: str) -> LoadedCodec:
    """Load a codec.

    Args:
        name: what the user typed.
        device: where to put it.

    Raises:
        ValueError: if there is no such model or device, or the model is no codec.
    """
    check_device(device)

    from moshi_zoo.models.mimi import Mimi
    from moshi_zoo.zoo import folder, uri
    from moshi_zoo.zoo.config import read_config

    path = uri.resolve(name)
    config = read_config(path)
    net = folder.load(path, device)
    if not isinstance(net, Mimi):
        raise ValueError(f"{name} is a {config.component}, which is no codec")
    return LoadedCodec(net, config, path.absolute())


def check_device(device: str) -> None:
    """Refuse a device that is not here.

    Raises:
        ValueError: with the reason.
    """
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"the device {device!r} cannot be used: {str(error).splitlines()[0]}") from error
