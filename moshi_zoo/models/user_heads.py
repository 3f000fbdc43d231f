"""Heads for the user's codes, made from Moshi's own: a model that only answers learns to play both (as J-Moshi did)."""

import torch
from torch import Tensor


def with_user_heads(name: str, tensor: Tensor, wanted: torch.Size, *, num_own: int) -> Tensor:
    """A weight of a depth transformer that says one speaker's codes, for one that says both's.

    Each step of the user's starts as the copy of Moshi's. Only the first has no example for what goes into it, Moshi's
    last code: it takes the table of the code before that.

    Args:
        name: of the weight in the net, such as ``depth.output.weight``.
        tensor: the weight.
        wanted: its shape in the net; where that is no doubling, the weight comes back as it is.
        num_own: codes of a frame of Moshi's voice K.
    """
    if not name.startswith("depth.") or tensor.shape[1:] != wanted[1:] or len(tensor) == wanted[0]:
        return tensor
    if len(tensor) * 2 == wanted[0]:  # a product for each step
        return torch.cat([tensor, tensor])
    inputs = num_own - 1  # tables and products for what goes into the steps but the first
    if len(tensor) % inputs or len(tensor) // inputs * (2 * num_own - 1) != wanted[0]:
        return tensor
    return torch.cat([tensor, tensor[-(len(tensor) // inputs) :], tensor])
