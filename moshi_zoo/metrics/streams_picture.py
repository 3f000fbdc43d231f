"""What Moshi is trained on, or what it does: the rows of text and codes with the words that are said."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from moshi_zoo.metrics.canvas import ACCENT, GRID, INK, MUTED, Axis, Box, Canvas, Colour, colours

Caption = tuple[float, str]
"""A word, and when it begins in seconds."""

_LEFT, _WIDTH, _CELL, _TEXT_CELL, _LINE = 86, 900, 7, 12, 14
_STRIP_S = 10.0
_TEXT_COLOURS: dict[str, Colour] = {"pad": GRID, "epad": (224, 144, 40), "word": ACCENT, "heard": (70, 150, 90)}


def streams_picture(
    codes: Tensor,
    *,
    frame_rate: float,
    codebook_size: int,
    pad: int,
    epad: int,
    words: Mapping[str, Sequence[Caption]],
    heard: Tensor | None = None,
) -> Image.Image:
    """The rows of a window, ten seconds a strip, a column a frame.

    Text: grey PAD, orange EPAD, blue tokens of words, green those of words that are heard. Codes: dark to bright by
    number; what is not there is white.

    Args:
        codes: ``[1 + 2 K, T]``: text, Moshi's codes, the user's; -1 where there is nothing.
        frame_rate: frames a second.
        codebook_size: codes are below it.
        pad: token of the text row.
        epad: token of the text row.
        words: of Moshi and of the user, or of others, each on lines of their own above the rows.
        heard: bool [T], which tokens of the text are words that are heard; None: none.

    Raises:
        ValueError: if ``codes`` has no such shape.
    """
    if codes.ndim != 2 or len(codes) % 2 == 0 or not codes.shape[1]:
        raise ValueError(f"a picture of streams needs codes [1 + 2 K, T], given {tuple(codes.shape)}")
    values = codes.detach().cpu().numpy()
    num_rows, num_frames = values.shape
    are_heard = np.zeros(num_frames, bool) if heard is None else heard.detach().cpu().numpy()
    K = num_rows // 2
    strip = max(round(_STRIP_S * frame_rate), 1)
    captions_height = 2 * _LINE * len(words)  # words alternate between two lines, so that neighbours have room
    row_tops = _row_tops(K)
    height = captions_height + row_tops[-1] + 44
    num_strips = math.ceil(num_frames / strip)
    canvas = Canvas(_LEFT + _WIDTH + 24, num_strips * height + 8)
    for number in range(num_strips):
        top, first = 8 + number * height, number * strip
        axis = Axis(first / frame_rate, (first + strip) / frame_rate, _LEFT, _LEFT + _WIDTH)
        for i, (who, captions) in enumerate(words.items()):
            _captions(canvas, axis, top + 2 * _LINE * i, who, captions)
        kinds = _kinds(values[0, first : first + strip], are_heard[first : first + strip], pad, epad)
        _rows(canvas, values[:, first : first + strip], kinds, top + captions_height, _WIDTH / strip, codebook_size)
        box = Box(_LEFT, top + captions_height, _WIDTH, row_tops[-1])
        canvas.x_ticks(box, axis, suffix=" s")
    return canvas.finish()


def _row_tops(K: int) -> list[int]:
    """Upper edges of all rows and the lower edge of the last."""
    tops = [0]
    for row in range(1 + 2 * K):
        gap = 4 if row in (0, K) else 0
        tops.append(tops[-1] + (_TEXT_CELL if row == 0 else _CELL) + gap)
    return tops


def _captions(canvas: Canvas, axis: Axis, top: float, who: str, captions: Sequence[Caption]) -> None:
    canvas.text(_LEFT - 8, top + _LINE, who, size=11, colour=MUTED, anchor="rm")
    shown = [(time, text) for time, text in captions if axis.low <= time < axis.high]
    for i, (time, text) in enumerate(shown):
        x, y = axis(time), top + _LINE * (i % 2)
        canvas.lines([(x, y + 2), (x, y + _LINE - 2)], colour=MUTED, width=0.5)
        canvas.text(x + 2, y + _LINE / 2, text, size=11, colour=INK, anchor="lm")


def _kinds(text: np.ndarray, are_heard: np.ndarray, pad: int, epad: int) -> list[str]:
    """What the tokens of the text are."""
    words = np.where(are_heard, "heard", "word")
    return np.select([text == pad, text == epad], ["pad", "epad"], words).tolist()


def _rows(
    canvas: Canvas, values: np.ndarray, kinds: Sequence[str], top: float, width: float, codebook_size: int
) -> None:
    tops = _row_tops(len(values) // 2)
    K = len(values) // 2
    shades = colours(values / max(codebook_size - 1, 1))
    for row, line in enumerate(values):
        height = _TEXT_CELL if row == 0 else _CELL
        for frame, value in enumerate(line):
            if value < 0:
                continue
            shade = shades[row, frame]
            colour = _TEXT_COLOURS[kinds[frame]] if row == 0 else (int(shade[0]), int(shade[1]), int(shade[2]))
            canvas.fill(Box(_LEFT + frame * width, top + tops[row], width, height), colour=colour)
    labels = {
        "text": tops[0] + _TEXT_CELL / 2,
        "Moshi": (tops[1] + tops[1 + K]) / 2,
        "user": (tops[1 + K] + tops[-1]) / 2,
    }
    for label, y in labels.items():
        canvas.text(_LEFT - 8, top + y, label, size=12, anchor="rm")
