"""How to draw from a speech language model: what its zoo folder says, for whoever is told nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from moshi_zoo import registry

_HIGHEST = 10.0


@dataclass(frozen=True)
class Sampling:
    """The temperatures that a model speaks best at; where a model says none, those of Kyutai's server.

    Args:
        text_temperature: of the draw of text tokens; 0 takes the likeliest, which is seldom to begin to speak.
        audio_temperature: of the draw of codes.

    Raises:
        ValueError: if one is out of range.
    """

    text_temperature: float = 0.7
    audio_temperature: float = 0.8

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) not in (int, float) or not 0 <= value <= _HIGHEST:
                raise ValueError(f"sampling.{field.name} is {value!r}; it must be a number from 0 to {_HIGHEST:g}")

    def __str__(self) -> str:
        return f"text temperature {self.text_temperature:g}, audio temperature {self.audio_temperature:g}"


def read_sampling(value: Any) -> Sampling:
    """Read the entry of a config.

    Raises:
        ValueError: if it says something else than temperatures.
    """
    known = [field.name for field in fields(Sampling)]
    if not isinstance(value, Mapping):
        raise ValueError(f"sampling must be a mapping with {' and '.join(known)}, not {value!r}")
    for key in value.keys() - set(known):
        raise ValueError(registry.unknown("entry of sampling", str(key), known))
    return Sampling(**value)
