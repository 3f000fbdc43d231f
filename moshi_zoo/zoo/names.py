"""Tables of tensor names: one row per kind of tensor, one column per layout."""

import re
from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

Tensors = dict[str, Tensor]

_FIELDS = {"n": r"\d+", "m": r"\d+", "side": r"[a-z]+", "io": r"[a-z]+", "p": r"\w+"}


class NameTable:
    """Translates tensor names between layouts.

    Args:
        rows: names with fields: ``{n}`` and ``{m}`` are numbers, ``{side}`` and ``{io}`` words, ``{p}`` the last part.
            Each row has the same fields in all columns; the first row that fits a whole name counts.
    """

    def __init__(self, rows: Sequence[Sequence[str]]):
        self._rows = rows
        self._patterns = [[re.compile(_pattern(name)) for name in row] for row in rows]

    def rename(self, tensors: Mapping[str, Tensor], source: int, target: int) -> Tensors:
        """Rename all tensors from column ``source`` to column ``target``.

        Raises:
            ValueError: naming the tensors that the source layout does not have.
        """
        names = self.rename_names(tensors, source, target)
        return dict(zip(names, tensors.values(), strict=True))

    def rename_names(self, names: Iterable[str], source: int, target: int) -> list[str]:
        """Rename from column ``source`` to column ``target``, in order.

        Raises:
            ValueError: naming the tensors that the source layout does not have.
        """
        renamed, strange = [], []
        for name in names:
            for row, patterns in zip(self._rows, self._patterns, strict=True):
                if match := patterns[source].fullmatch(name):
                    renamed.append(row[target].format(**match.groupdict()))
                    break
            else:
                strange.append(name)
        if strange:
            more = f" and {len(strange) - 5} more" if len(strange) > 5 else ""
            raise ValueError(f"this layout has no tensor called {', '.join(strange[:5])}{more}: is the format right?")
        return renamed


def _pattern(name: str) -> str:
    return re.sub(r"\\{(\w+)\\}", lambda field: f"(?P<{field[1]}>{_FIELDS[field[1]]})", re.escape(name))
