"""An optimizer step that one broken batch cannot spoil, for stages with manual optimization."""

from dataclasses import dataclass

from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from moshi_zoo.training.sharding import whole

_PATIENCE = 20  # steps in a row: no batch's fault any more


@dataclass(frozen=True)
class Outcome:
    """What became of a step.

    Args:
        norm: of the gradient before clipping.
        is_made: False if it was left out.
    """

    norm: Tensor
    is_made: bool


class GuardedStep:
    """Clips the gradients of a network and makes the step, unless they are not finite.

    Processes have the gradients of all, so they decide alike. A learning rate moves with the steps that are made.

    Args:
        name: of the network, for messages.
        clip: largest gradient norm; None: unlimited.
    """

    def __init__(self, name: str, *, clip: float | None):
        self.name, self.clip = name, float("inf") if clip is None else clip
        self._left_out = 0  # in a row

    def __call__(self, optimizer: LightningOptimizer, schedule: LRScheduler) -> Outcome:
        """Make the step and clear the gradients.

        Raises:
            ValueError: if no step could be made for a while.
        """
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        norm = whole(nn.utils.clip_grad_norm_(weights, self.clip))
        is_made = bool(norm.isfinite())
        if is_made:
            optimizer.step()
            schedule.step()
        optimizer.zero_grad()
        self._count(is_made)
        return Outcome(norm, is_made)

    def _count(self, is_made: bool) -> None:
        self._left_out = 0 if is_made else self._left_out + 1
        if self._left_out == _PATIENCE:
            raise ValueError(
                f"the gradients of the {self.name} were not finite {_PATIENCE} times in a row: lower its learning "
                "rate, or look for broken data; --ckpt_path last goes on from the last checkpoint"
            )
        if not is_made:
            rank_zero_info(f"the gradients of the {self.name} are not finite: the step is left out")
