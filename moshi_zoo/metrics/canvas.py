"""Just enough plotting for the pictures of a run: Pillow alone, so that a training machine needs no plotting library.

Everything is drawn at twice its size and shrunk at the end, which smooths lines and text.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
PAPER: Colour = (255, 255, 255)
INK: Colour = (33, 37, 46)
MUTED: Colour = (116, 122, 134)
GRID: Colour = (229, 232, 237)
ACCENT: Colour = (38, 110, 163)
_ZOOM = 2
# Dark to bright with evenly rising lightness, so that it also reads in grey.
_STOPS = "040414 201052 50127b 812581 b5367a e55064 fb8761 fec287 fcfdbf"
_MAP = np.array([list(bytes.fromhex(stop)) for stop in _STOPS.split()], dtype=np.float64)


@dataclass(frozen=True)
class Box:
    """A rectangle on the canvas, in pixels from its upper left corner."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Right edge."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Lower edge."""
        return self.top + self.height


@dataclass(frozen=True)
class Axis:
    """Values from ``low`` to ``high`` along the pixels from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


class Canvas:
    """A white sheet of ``width`` x ``height`` pixels."""

    def __init__(self, width: int, height: int) -> None:
        self.size = (width, height)
        self._image = Image.new("RGB", (width * _ZOOM, height * _ZOOM), PAPER)
        self._draw = ImageDraw.Draw(self._image)

    def finish(self) -> Image.Image:
        """The picture at its final size."""
        return self._image.resize(self.size, Image.Resampling.LANCZOS)

    def text(self, x: float, y: float, text: str, *, size: int = 12, colour: Colour = INK, anchor: str = "la") -> None:
        """Write a line; ``anchor`` as Pillow's: left/middle/right, then ascender/middle/baseline."""
        self._draw.text((x * _ZOOM, y * _ZOOM), text, fill=colour, font=_font(size * _ZOOM), anchor=anchor)

    def lines(self, points: Sequence[tuple[float, float]], *, colour: Colour, width: float = 1.0) -> None:
        """Connect points."""
        scaled = [(x * _ZOOM, y * _ZOOM) for x, y in points]
        self._draw.line(scaled, fill=colour, width=max(1, round(width * _ZOOM)), joint="curve")

    def dot(self, x: float, y: float, *, colour: Colour, radius: float = 3.0) -> None:
        """A filled circle."""
        self._draw.circle((x * _ZOOM, y * _ZOOM), radius * _ZOOM, fill=colour)

    def fill(self, box: Box, *, colour: Colour) -> None:
        """A filled rectangle."""
        edges = (box.left, box.top, box.right, box.bottom)
        left, top, right, bottom = (round(edge * _ZOOM) for edge in edges)
        if right > left and bottom > top:
            self._draw.rectangle((left, top, right - 1, bottom - 1), fill=colour)

    def heatmap(self, box: Box, values: NDArray[np.floating]) -> None:
        """Paint ``values [rows, columns]`` between 0 (dark) and 1 (bright), the first row at the bottom."""
        image = Image.fromarray(colours(values[::-1]))
        size = (round(box.width * _ZOOM), round(box.height * _ZOOM))
        self._image.paste(
            image.resize(size, Image.Resampling.BICUBIC), (round(box.left * _ZOOM), round(box.top * _ZOOM))
        )

    def x_ticks(self, box: Box, axis: Axis, *, suffix: str = "") -> None:
        """Ticks and numbers under a box."""
        for value in nice_ticks(axis.low, axis.high, count=max(2, round(box.width / 90))):
            x = axis(value)
            self.lines([(x, box.bottom), (x, box.bottom + 4)], colour=MUTED)
            self.text(x, box.bottom + 6, number(value) + suffix, size=11, colour=MUTED, anchor="ma")


def colours(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The colour map: ``[...]`` between 0 and 1 to ``[..., 3]``."""
    position = np.clip(np.nan_to_num(values), 0, 1) * (len(_MAP) - 1)
    stops = np.arange(len(_MAP))
    return np.stack([np.interp(position, stops, channel) for channel in _MAP.T], axis=-1).round().astype(np.uint8)


def nice_ticks(low: float, high: float, *, count: int) -> list[float]:
    """About ``count`` round numbers from ``low`` to ``high``, steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / max(count, 1)
    power = 10 ** math.floor(math.log10(rough))
    step = min((m * power for m in (1, 2, 5, 10)), key=lambda step: abs(math.log(step / rough)))
    first = math.ceil(low / step - 1e-6)
    return [i * step for i in range(first, math.floor(high / step + 1e-6) + 1)]


def number(value: float) -> str:
    """A number as short as it can be read: 12k, 0.25, 3.1e-5."""
    if abs(value) >= 10_000:
        return f"{value / 1000:.3g}k" if abs(value) < 1e6 else f"{value / 1e6:.3g}M"
    return f"{value:.3g}" if 0 < abs(value) < 100 else f"{value:.0f}"


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
