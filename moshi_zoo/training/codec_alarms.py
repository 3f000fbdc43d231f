"""Says in time when the training of a codec goes wrong in one of the ways it is known for."""

import math
import statistics
from collections import deque
from typing import TYPE_CHECKING, Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

if TYPE_CHECKING:
    from moshi_zoo.training.lit_mimi import LitMimi

_WON = 0.2  # the discriminator's hinge loss; 2 when it cannot tell
_WON_STEPS = 500
_ALIVE = 0.1  # share of the entries
_EXPLODED = 100.0  # times the median
_MEDIAN_OF = 500  # steps
_MEDIAN_FROM = 100


class CodecAlarms(Callback):
    """Warns once of each: a discriminator that has won, a codebook that has died, a commitment that explodes.

    Looks at what the stage logs, which is alike on all processes. Every codec in training has it.
    """

    def __init__(self) -> None:
        self._given: set[str] = set()
        self._won_steps = 0
        self._commitments: deque[float] = deque(maxlen=_MEDIAN_OF)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Look at the losses of a step."""
        metrics = trainer.callback_metrics
        if "train/discriminator" in metrics:
            self._see_discriminator(float(metrics["train/discriminator"]))
        if "train/commitment" in metrics:
            self._see_commitment(float(metrics["train/commitment"]))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the codebooks."""
        metrics = trainer.callback_metrics
        if trainer.sanity_checking or "val/frames" not in metrics:
            return
        used = {name.rpartition("_")[2]: float(value) for name, value in metrics.items() if "val/used_" in name}
        size = cast("LitMimi", pl_module).net.codebook_size
        possible = min(float(metrics["val/frames"]) / size, 1.0)  # few frames cannot use many entries
        dead = [level for level, share in used.items() if share < _ALIVE * possible]
        if dead:
            self._warn(
                "codebooks",
                f"codebook {', '.join(dead)} (of 0 to {len(used) - 1}) uses under {_ALIVE:.0%} of its entries: start "
                "the codebooks later and from more latents (quantize_from, codebook_pool), or lower the commitment's "
                "weight",
            )

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {
            "given": sorted(self._given),
            "won_steps": self._won_steps,
            "commitments": list(self._commitments),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self._given, self._won_steps = set(state_dict["given"]), state_dict["won_steps"]
        self._commitments = deque(state_dict["commitments"], maxlen=_MEDIAN_OF)

    def _see_discriminator(self, loss: float) -> None:
        self._won_steps = self._won_steps + 1 if loss < _WON else 0
        if self._won_steps == _WON_STEPS:
            self._warn(
                "discriminator",
                f"the discriminator's loss has been under {_WON} for {_WON_STEPS} steps: it has won and teaches little "
                "now. Hold it back: lower discriminator_probability or its learning rate, or let it join later "
                "(discriminator_from)",
            )

    def _see_commitment(self, loss: float) -> None:
        if len(self._commitments) >= _MEDIAN_FROM and loss > _EXPLODED * statistics.median(self._commitments) > 0:
            self._warn(
                "commitment",
                f"the commitment loss ({loss:.3g}) is over {_EXPLODED:.0f} times its median: the latents run away from "
                "their codebooks. Raise the commitment's weight or lower the generator's learning rate, and go on from "
                "an earlier checkpoint",
            )
        if math.isfinite(loss):
            self._commitments.append(loss)

    def _warn(self, name: str, message: str) -> None:
        if name not in self._given:
            self._given.add(name)
            rank_zero_warn(message)
