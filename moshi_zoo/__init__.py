"""moshi_zoo: the open, complete training stack for full-duplex speech models.

codec = moshi_zoo.load("mimi-nano")     # a name, a zoo folder or a run -> a ready nn.Module
codes = codec.encode(wav)               # [B, 1, S] -> [B, K, T]
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from moshi_zoo.zoo.uri import Entry

__version__ = "0.1.0"
__all__ = ["list_models", "load"]


def load(
    name: "str | Path", device: "torch.device | str" = "cpu", *, adapter: "str | Path | None" = None
) -> "torch.nn.Module":
    """The model of a zoo folder, in eval mode.

    Args:
        name: a folder, a run, or the name of one in ``checkpoints/`` or ``runs/``.
        device: where its weights go.
        adapter: of the model, such as a voice, to be put beside its weights; a name like the model's.

    Raises:
        ValueError: if nothing is called that, with the nearest names; or the adapter is one of another model.
    """
    from moshi_zoo.zoo import adapters, folder, uri  # torch is imported on first use, not by `import moshi_zoo`

    path = uri.resolve(name)
    net = folder.load(path, device)
    if adapter is not None:
        adapters.load_adapter(net, uri.resolve(adapter), base=path)
    return net


def list_models() -> "list[Entry]":
    """The models in ``checkpoints/`` and ``runs/``."""
    from moshi_zoo.zoo import uri

    return list(uri.entries())
