"""Learning rates of Moshi's parts (Moshi paper 4.4 and table 1), and the groups of parameters that have them."""

from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class LearningRates:
    """Peaks of the learning rates.

    Args:
        temporal: of the temporal transformer and all that goes into it.
        depth: of the depth transformer.
        text_scale: factor for the text's embedding and output in steps on speech (paper 4.4: 0.75).
    """

    temporal: float = 3e-5
    depth: float = 2e-4
    text_scale: float = 1.0


def parameter_groups(net: nn.Module, rates: LearningRates, *, weight_decay: float) -> list[dict[str, Any]]:
    """Groups for an optimizer, of what is not frozen: matrices with weight decay, vectors without.

    Args:
        net: Moshi, or its temporal transformer alone.
        rates: learning rates; a group's ``name`` says which it has: ``temporal``, ``text`` or ``depth``.
        weight_decay: of the matrices, embeddings among them.
    """
    peaks = {"temporal": rates.temporal, "text": rates.temporal * rates.text_scale, "depth": rates.depth}
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((_part(name), parameter.ndim > 1), []).append(parameter)
    return [
        {"params": members, "lr": peaks[part], "weight_decay": weight_decay if is_matrix else 0.0, "name": part}
        for (part, is_matrix), members in groups.items()
    ]


def _part(parameter: str) -> str:
    name = parameter.removeprefix("temporal.")
    if name.startswith("depth."):
        return "depth"
    return "text" if name.startswith(("embedding.", "output.", "initial_text")) else "temporal"
