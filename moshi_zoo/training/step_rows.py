"""Rows of the log for steps of several kinds, such as on speech and on text alone, which measure different things."""

from collections.abc import Collection, Mapping

from moshi_zoo.training.stage import Stage


class StepRows:
    """Gives each kind of step rows of its own, one in every ``log_every_n_steps``.

    Lightning would repeat the values of the other kinds in each row, or never come across one kind.

    Args:
        in_progress_bar: values to be seen there.
    """

    def __init__(self, in_progress_bar: Collection[str]):
        self._in_progress_bar = in_progress_bar
        self._logged: dict[int, int] = {}  # kind of step -> the last stretch of steps with a row

    def log(self, stage: Stage, values: Mapping[str, float], *, kind: int) -> None:
        """Log what a step has measured.

        Args:
            stage: that has made it.
            values: what was measured.
            kind: of the step.
        """
        for name, value in values.items():
            stage.log(f"train/{name}", value, prog_bar=name in self._in_progress_bar, logger=False)
        step = stage.global_step - 1
        stretch = step // max(getattr(stage.trainer, "log_every_n_steps", 50), 1)
        if self._logged.get(kind) != stretch:
            self._logged[kind] = stretch
            for logger in stage.loggers:
                logger.log_metrics({f"train/{name}": value for name, value in values.items()}, step)
