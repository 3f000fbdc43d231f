"""Starts a stage with the weights of earlier ones."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn

from moshi_zoo import registry
from moshi_zoo.modules.conv import folded_state_dict, load_folded
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.training.sharding import shared_out_like
from moshi_zoo.training.stage import Stage
from moshi_zoo.zoo import folder, uri
from moshi_zoo.zoo.config import Parent, read_config


@dataclass(frozen=True)
class Loaded:
    """What one source brought; names of what it did not have, and need not have, are those of the net."""

    part: str
    source: str
    num_tensors: int
    num_parameters: int
    missing: frozenset[str] = frozenset()


class InitFrom(Callback):
    """Loads parts of the net from zoo folders before the first step; a resumed run has its weights already.

    All tensors of a part must come from its source, each with its shape. Nothing is passed over: what is missing, left
    over or of another shape is an error. Only what the stage adds to a model may be missing in it
    (:meth:`Stage.may_start_new`), and is reported as new.

    Args:
        sources: submodule of the net (``net``: the whole) -> name, run or folder of a model.
    """

    def __init__(self, sources: Mapping[str, str]):
        self.sources = dict(sources)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Load, unless the run goes on from a checkpoint."""
        self._load(trainer, pl_module)

    on_validation_start = on_test_start = on_predict_start = on_fit_start

    def _load(self, trainer: Trainer, stage: LightningModule) -> None:
        if not self.sources or trainer.ckpt_path is not None or not isinstance(stage, Stage):
            return
        for part, source in self.sources.items():
            check_tokenizer(source, stage.tokenizer)
            stage.starts_from(part, source, read_config(uri.resolve(source)))
        loaded = [
            load_part(stage.net, part, source, stage.may_start_new, stage.adapted)
            for part, source in self.sources.items()
        ]
        stage.parents = [parent_of(source) for source in dict.fromkeys(self.sources.values())]
        stage.started_parts = list(self.sources)
        rank_zero_info(report(stage.net, loaded))
        self.sources = {}  # a fit validates too: once is enough


def load_part(
    net: nn.Module,
    part: str,
    source: str,
    may_start_new: Callable[[str], bool] = lambda name: False,
    adapted: Callable[[str, Tensor, torch.Size], Tensor] = lambda name, tensor, wanted: tensor,
) -> Loaded:
    """Copy the weights of a zoo folder, or those of the same part of it, into a part of a network, in place.

    Args:
        net: the network.
        part: path of a submodule, or ``net`` for all of it.
        source: name, run or folder of a model.
        may_start_new: whether a tensor of the network, by its name, may be missing there; it then stays as it is.
        adapted: makes a tensor fit the network, by its name in it and the shape there.

    Raises:
        ValueError: if there is no such part or model, or the weights do not fit it exactly.
    """
    parts = {"net": net, **{name: module for name, module in net.named_modules() if name}}
    if part not in parts:
        raise ValueError(f"init_from: {registry.unknown('part of the net', part, parts)}")
    path = uri.resolve(source)
    folder.verify(path)
    tensors = folder.read_weights(path)
    prefix = "" if part == "net" else f"{part}."
    own = folded_state_dict(parts[part])
    if prefix and any(name.startswith(prefix) for name in tensors):  # a whole model that has such a part, too
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    tensors = {n: adapted(prefix + n, tensor, own[n].shape) if n in own else tensor for n, tensor in tensors.items()}
    tensors = {name: shared_out_like(tensor, own.get(name, tensor)) for name, tensor in tensors.items()}
    new = {name: tensor for name, tensor in own.items() if name not in tensors and may_start_new(prefix + name)}
    try:
        load_folded(parts[part], tensors | new)
    except ValueError as error:
        raise ValueError(f"init_from: {source} does not fit {part}: {error}") from error
    missing = frozenset(prefix + name for name in new)
    return Loaded(part, source, len(tensors), sum(t.numel() for t in tensors.values()), missing)


def check_tokenizer(source: str, tokenizer: Tokenizer | None) -> None:
    """See that the data are written in the pieces that a model has learnt.

    Args:
        source: name, run or folder of the model.
        tokenizer: of the data.

    Raises:
        ValueError: if both have one, and they differ: to the model, the text would be gibberish.
    """
    theirs = read_config(uri.resolve(source)).tokenizer_sha256
    if tokenizer is not None and theirs and theirs != tokenizer.sha256:
        raise ValueError(
            f"init_from: {source} has learnt with another tokenizer (sha256 {theirs[:8]}) than that of the data "
            f"({tokenizer.sha256[:8]}): give the data the model's, --data.tokenizer {uri.resolve(source)}"
        )


def parent_of(source: str) -> Parent:
    """The entry of a model in the lineage of those made from it."""
    return Parent(name=source, sha256=read_config(uri.resolve(source)).sha256)


def report(net: nn.Module, loaded: list[Loaded]) -> str:
    """A small table: what came from where, and how much of the net stays as it was initialised."""
    rows = [(f"{x.part} <- {x.source}", x.num_tensors, x.num_parameters) for x in loaded]
    tensors = folded_state_dict(net)
    brought = {
        key
        for key in tensors
        for x in loaded
        if (x.part == "net" or key.startswith(f"{x.part}.")) and key not in x.missing
    }
    new = {key: tensor for key, tensor in tensors.items() if key not in brought}
    rows.append(("new", len(new), sum(t.numel() for t in new.values())))
    width = max(len(name) for name, _, _ in rows)
    return "\n".join(
        [
            "init_from:",
            *(f"  {name:<{width}}  {tensors:>5} tensors  {numbers:>13,} numbers" for name, tensors, numbers in rows),
        ]
    )
