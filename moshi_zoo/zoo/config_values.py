"""Numbers of a stranger's config.json, checked: one that is no number, or too large, must not lay out the world."""

from collections.abc import Mapping
from typing import Any


def whole_number(config: Mapping[str, Any], key: str, most: int, *, default: int | None = None, least: int = 1) -> int:
    """A whole number from ``least`` to ``most``.

    Raises:
        ValueError: if it is none.
    """
    value = config.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"config.json says {key} {value!r}; it must be a whole number from {least} to {most}")
    return value


def positive(config: Mapping[str, Any], key: str, default: float) -> float:
    """A positive number.

    Raises:
        ValueError: if it is none.
    """
    value = config.get(key, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
        raise ValueError(f"config.json says {key} {value!r}; it must be a positive number")
    return float(value)
