"""Weights, gradients and optimizer states shared out among processes (FSDP2, ``fully_shard``), and brought together.

Each process holds a slice of every tensor; a layer is whole only while it computes. To a stage a sharded network looks
like any other: its parameters are ``DTensor``.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import cast

from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor


class ShardedStrategy(ModelParallelStrategy):
    """Lightning's strategy for ``fully_shard``, with as many shards as there are processes.

    Lightning's own splits over nodes, and within a node over tensors, unless it is told the number of processes.

    Args:
        save_distributed_checkpoint: write a folder, a file for each process, instead of one file. For weights that do
            not fit into the memory of one machine.
    """

    def __init__(self, *, save_distributed_checkpoint: bool = False):
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=save_distributed_checkpoint)

    def setup_environment(self) -> None:
        """Count the processes, and meet them."""
        self._data_parallel_size = self.num_processes * self.num_nodes
        super().setup_environment()


def shard(net: nn.Module, layers: Iterable[nn.Module], mesh: DeviceMesh | None, *, methods: Sequence[str] = ()) -> None:
    """Shard a network in place, a layer at a time; without a mesh nothing happens.

    Args:
        net: the same in every process.
        layers: parts of it that shall be whole one after the other; what is left is one more part.
        mesh: of the processes.
        methods: of ``net`` and its layers that are called like ``forward``: the weights must be whole for them, too.
    """
    if mesh is None:
        return
    mesh = mesh["data_parallel"]
    parts = [*layers, net]
    for part in parts:
        fully_shard(part, mesh=mesh)
    for part, method in itertools.product(parts, methods):
        if hasattr(part, method):
            register_fsdp_forward_method(part, method)


def whole(tensor: Tensor) -> Tensor:
    """A tensor of which each process may hold a slice. Every process calls this."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def whole_state_dict(net: nn.Module) -> dict[str, Tensor]:
    """The state dict of a network; of a sharded one on the CPU and in process 0 alone. Every process calls this."""
    if not any(isinstance(parameter, DTensor) for parameter in net.parameters()):
        return net.state_dict()
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return cast("dict[str, Tensor]", get_model_state_dict(net, options=options))


def shared_out_like(tensor: Tensor, pattern: Tensor) -> Tensor:
    """The slices of a tensor that another has of its own: the tensor itself, if that is whole. All bring the whole."""
    if not isinstance(pattern, DTensor):
        return tensor
    here = tensor.to(pattern.device, pattern.dtype)
    return distribute_tensor(here, pattern.device_mesh, pattern.placements, src_data_rank=None)
