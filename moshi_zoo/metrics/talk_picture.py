"""A conversation in a picture: the waveforms of both sides, and their words where they are said."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from moshi_zoo.metrics.canvas import ACCENT, GRID, INK, MUTED, Axis, Box, Canvas, Colour

_LEFT, _WIDTH, _HEIGHT, _LINE, _GAP = 70, 1000, 64, 14, 40
_STRIP_S = 15.0
_COLOURS: tuple[Colour, ...] = (ACCENT, (224, 144, 40))


def talk_picture(
    wavs: Mapping[str, Tensor], sample_rate: int, *, words: Mapping[str, Sequence[tuple[float, str]]] | None = None
) -> Image.Image:
    """Waveforms under each other, fifteen seconds a strip, each with its words above it.

    Args:
        wavs: who -> waveform [S], all of one length.
        sample_rate: of all, in Hz.
        words: who -> when they begin, in seconds, and what they are.

    Raises:
        ValueError: if there is nothing to draw, or the waveforms are no such rows.
    """
    if len({wav.shape for wav in wavs.values()}) != 1 or any(wav.ndim != 1 or not len(wav) for wav in wavs.values()):
        shapes = {who: tuple(wav.shape) for who, wav in wavs.items()}
        raise ValueError(f"a picture of a conversation needs waveforms [S] of one length, given: {shapes or 'none'}")
    samples = {who: wav.detach().cpu().float().numpy() for who, wav in wavs.items()}
    loudest = max(max(float(np.abs(wav).max()) for wav in samples.values()), 1e-3)
    seconds = len(next(iter(samples.values()))) / sample_rate
    num_strips = math.ceil(seconds / _STRIP_S)
    told = {who: list(of_one) for who, of_one in (words or {}).items() if of_one}
    tops, bottom = dict[str, int](), 0  # of the waveforms, and of what is under them, in a strip
    for who in samples:
        tops[who] = bottom + (2 * _LINE if who in told else 0)
        bottom = tops[who] + _HEIGHT
    height = bottom + _GAP
    canvas = Canvas(_LEFT + _WIDTH + 24, num_strips * height + 12)
    for strip in range(num_strips):
        begin, top = strip * _STRIP_S, 8 + strip * height
        axis = Axis(begin, begin + min(_STRIP_S, max(seconds, 1.0)), _LEFT, _LEFT + _WIDTH)
        for row, (who, wav) in enumerate(samples.items()):
            box = Box(_LEFT, top + tops[who], _WIDTH, _HEIGHT - 6)
            _words(canvas, axis, box.top - 2 * _LINE, told.get(who, ()))
            canvas.text(_LEFT - 8, box.top + box.height / 2, who, colour=INK, anchor="rm")
            canvas.fill(box, colour=(248, 249, 250))
            first = round(begin * sample_rate)
            piece = wav[first : first + round((axis.high - axis.low) * sample_rate)] / loudest
            _waveform(canvas, box, axis, piece, sample_rate, colour=_COLOURS[row % len(_COLOURS)])
        canvas.x_ticks(Box(_LEFT, top, _WIDTH, bottom - 6), axis, suffix=" s")
    return canvas.finish()


def _words(canvas: Canvas, axis: Axis, top: float, words: Sequence[tuple[float, str]]) -> None:
    shown = [(time, text) for time, text in words if axis.low <= time < axis.high]
    for i, (time, text) in enumerate(shown):
        x, y = axis(time), top + _LINE * (i % 2)  # neighbours on two lines, so that they have room
        canvas.lines([(x, y + 2), (x, y + _LINE - 2)], colour=MUTED, width=0.5)
        canvas.text(x + 2, y + _LINE / 2, text, size=11, anchor="lm")


def _waveform(
    canvas: Canvas, box: Box, axis: Axis, wav: NDArray[np.floating], sample_rate: int, *, colour: Colour
) -> None:
    """A bar a pixel, from the lowest to the highest sample in it."""
    middle, half = box.top + box.height / 2, box.height / 2
    canvas.lines([(box.left, middle), (box.right, middle)], colour=GRID)
    pixels = int(axis(axis.low + len(wav) / sample_rate) - box.left)
    for pixel, part in enumerate(np.array_split(wav, pixels) if pixels else []):
        low, high = float(part.min()), float(part.max())
        canvas.fill(Box(box.left + pixel, middle - high * half, 1, max((high - low) * half, 0.5)), colour=colour)
