"""The parts of a model and their sizes, at the start of a run."""

from typing import Any

from lightning.pytorch.callbacks import ModelSummary
from lightning.pytorch.utilities.model_summary import get_human_readable_count
from lightning.pytorch.utilities.rank_zero import rank_zero_info

_COUNTED = "Params"
_NOT_COUNTED = "FLOPs"  # Lightning counts those of an example input, which stages have none of


class PartsSummary(ModelSummary):
    """Lightning's summary without the operations, which it gives as 0."""

    @staticmethod
    def summarize(
        summary_data: list[tuple[str, list[str]]],
        total_parameters: int,
        trainable_parameters: int,
        model_size: float,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Print a table of the parts, and what there is in all."""
        columns = [[name, *map(str, values)] for name, values in summary_data if name != _NOT_COUNTED]
        cells = [_padded(column, right=column[0] == _COUNTED) for column in columns]
        rule = "-" * (sum(len(column[0]) for column in cells) + 3 * (len(cells) - 1))
        head, *rows = [" | ".join(row) for row in zip(*cells, strict=True)]
        learn, all_ = map(get_human_readable_count, (trainable_parameters, total_parameters))
        total = f"{all_.strip()} parameters ({model_size:,.1f} MB), {learn.strip()} of them are trained"
        rank_zero_info("\n".join(["", head, rule, *rows, rule, total]))


def _padded(column: list[str], *, right: bool) -> list[str]:
    width = max(map(len, column))
    return [cell.rjust(width) if right else cell.ljust(width) for cell in column]
