"""The base of all stages: it makes the net late, knows what the net is made of, and says which weights to publish."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from moshi_zoo import registry
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.training.sharding import whole_state_dict
from moshi_zoo.zoo.config import Parent, ZooConfig
from moshi_zoo.zoo.sampling import Sampling
from moshi_zoo.zoo.text_layout import TextLayout


class Stage(LightningModule):
    """A LightningModule that trains one registered network, ``self.net``.

    The network is made in :meth:`configure_model`, on the device and in the precision of the trainer; a recipe for
    billions of parameters is therefore read in a moment. Hyper-parameters are plain values (under the command line:
    ``class_path`` and ``init_args``), so that checkpoints load without unpickling code.

    Args:
        net: makes the network.
    """

    monitor: ClassVar[str | None] = None  # the validation metric that says which weights are best
    monitor_mode: ClassVar[str] = "min"
    net: nn.Module

    def __init__(self, net: Callable[[], nn.Module]):
        super().__init__()
        self.save_hyperparameters(logger=False)
        for name in [n for n, value in self.hparams.items() if not _is_plain(value)]:
            del self.hparams[name]
        self.make_net = net
        self.parents: list[Parent] = []  # zoo folders that this stage started from
        self.started_parts: list[str] = []  # parts of the net that they brought
        self.sampling: Sampling | None = None  # how to draw from what it trains, where that is a speech language model

    def configure_model(self) -> None:
        """Make the network, once; subclasses add theirs after calling this."""
        if "net" not in self._modules:
            self.net = self.make_net()

    @property
    def is_complete(self) -> bool:
        """Whether all parts of the network work already; until then no validation counts as the best."""
        return True

    @property
    def spec(self) -> registry.Spec:
        """The portable ``{component, init_args}`` of the network.

        Raises:
            ValueError: if the stage was made in Python from a plain function, whose arguments nobody knows.
        """
        net = self.hparams.get("net")
        if not isinstance(net, Mapping):
            raise ValueError(
                "only a stage made by the command line (or moshi_zoo.cli.trainer.run) knows what its net is made of; "
                "this one was given a function"
            )
        return registry.to_portable(net)

    @property
    def tokenizer(self) -> Tokenizer | None:
        """That of the data module, if it deals in text; it travels with the weights."""
        return getattr(getattr(self.trainer, "datamodule", None), "tokenizer", None)

    @property
    def text_layout(self) -> TextLayout:
        """How words lie in the data module's row of text, if it has one; whoever uses the weights needs to know."""
        return TextLayout(**getattr(getattr(self.trainer, "datamodule", None), "text_layout", {}))

    def starts_from(self, part: str, source: str, config: ZooConfig) -> None:
        """Look at a model that the net starts from, before its weights are loaded; by default nothing is to be seen.

        Args:
            part: of the net that it brings; ``net``: all of it.
            source: its name.
            config: of its zoo folder.

        Raises:
            ValueError: if the stage cannot go on from it.
        """

    def may_start_new(self, name: str) -> bool:
        """Whether a weight of the net may be missing in the model that the net starts from (``init_from``).

        By default none may. A stage that extends a model names what is new in it; that keeps its initial value.
        """
        return False

    def adapted(self, name: str, tensor: Tensor, wanted: torch.Size) -> Tensor:
        """A weight of the model that the net starts from, made to fit the net; by default as it is.

        Args:
            name: in the net.
            tensor: the weight.
            wanted: its shape in the net.
        """
        return tensor

    def zoo_weights(self) -> dict[str, Tensor]:
        """The weights to publish: those of the network. Every process calls this; process 0 writes."""
        return whole_state_dict(self.net)

    def counting_optimizers(self) -> list[LightningOptimizer]:
        """The optimizers, of which only the first advances ``global_step``: one step is one batch.

        For manual optimisation with several optimizers; call it at the start of every ``training_step``:
        Lightning sets its counters anew for each batch.
        """
        optimizers = self.optimizers()
        optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
        for other in optimizers[1:]:
            other._on_before_step = other._on_after_step = _do_nothing
        return optimizers

    def refuse_half_precision(self) -> None:
        """Half precision needs a scale of the loss, which manual optimisation and clipping do not know.

        Raises:
            ValueError: if the trainer uses it.
        """
        if self.trainer.precision in ("16-mixed", "16-true"):
            raise ValueError(f"precision {self.trainer.precision} has too small a range: use bf16-mixed or 32-true")

    def sum_over_processes(self, x: Tensor) -> Tensor:
        """A tensor of each process -> their sum, in all of them."""
        return self.trainer.strategy.reduce(x.clone(), reduce_op="sum")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the lineage, so that a resumed run still knows its parents, and what it has from them."""
        checkpoint["parents"] = [{"name": p.name, "sha256": p.sha256} for p in self.parents]
        checkpoint["started_parts"] = self.started_parts
        checkpoint["sampling"] = asdict(self.sampling) if self.sampling else None

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the lineage."""
        self.parents = [Parent(**p) for p in checkpoint.get("parents", [])]
        self.started_parts = checkpoint.get("started_parts", [])
        if self.sampling is None and checkpoint.get("sampling"):
            self.sampling = Sampling(**checkpoint["sampling"])


def _do_nothing() -> None:
    pass


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(k, str) and _is_plain(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float | bool)
