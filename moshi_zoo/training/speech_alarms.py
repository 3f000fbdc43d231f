"""Says in time when Moshi's training goes wrong in one of the ways it is known for: silence, and endless repetition."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

_SILENT = 0.1  # of the text that was expected
_PATIENCE = 2  # validations in a row
_REPEATED, _STUCK = 0.5, 0.5
_FROM_STEP = 300  # before, nothing can be expected


class SpeechAlarms(Callback):
    """Looks at what Moshi answers to the fixed users at each validation, and warns once of each.

    Every Moshi in training has it.
    """

    def __init__(self) -> None:
        self._given: set[str] = set()
        self._silent = 0

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the answers."""
        values = {k.removeprefix("val/talk/"): float(v) for k, v in trainer.callback_metrics.items() if "/talk/" in k}
        if trainer.sanity_checking or "tokens" not in values or trainer.global_step < _FROM_STEP:
            return
        is_silent = values["tokens"] < _SILENT * values["expected_tokens"]
        self._silent = self._silent + 1 if is_silent else 0
        if self._silent == _PATIENCE:
            self._warn(
                "silence",
                f"Moshi says {values['tokens']:.0f} tokens a minute where {values['expected_tokens']:.0f} are "
                "expected: it falls silent. Lower the learning rate or pad_weight, check that epad_weight is 1, and "
                "that the dialogues have room tone; a low share of windows that begin with a dialogue does it too",
            )
        for name, limit in {"repeated": _REPEATED, "stuck": _STUCK}.items():
            if values[name] > max(limit, 2 * values[f"expected_{name}"]):
                self._warn(
                    name,
                    f"Moshi repeats itself: {values[name]:.0%} of its "
                    f"{'text' if name == 'repeated' else 'frames of codes'} (expected: "
                    f"{values[f'expected_{name}']:.0%}). Lower the learning rate, or train on more dialogues",
                )

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {"given": sorted(self._given), "silent": self._silent}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self._given, self._silent = set(state_dict["given"]), state_dict["silent"]

    def _warn(self, name: str, message: str) -> None:
        if name not in self._given:
            self._given.add(name)
            rank_zero_warn(message)
