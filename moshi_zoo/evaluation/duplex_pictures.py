"""The duplex suite in pictures: answers by family, how long replies take, and single conversations."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from moshi_zoo.evaluation.duplex_conversations import Conversation
from moshi_zoo.evaluation.duplex_suite import ConversationRow
from moshi_zoo.evaluation.measurement import Figure
from moshi_zoo.metrics.canvas import ACCENT, GRID, INK, MUTED, PAPER, Axis, Box, Canvas, nice_ticks
from moshi_zoo.metrics.streams_picture import streams_picture
from moshi_zoo.models.moshi import Moshi

_BESIDE = (224, 144, 40)
_BIN_S, _FROM_S, _TO_S = 0.08, -1.0, 2.5


def shares_picture(rows: Mapping[str, Sequence[Figure | None]], labels: Sequence[str]) -> Image.Image:
    """Shares with their intervals, some beside each other for each of several groups.

    Args:
        rows: group -> a figure for each label, between 0 and 1; None: unknown.
        labels: of the figures; two at most.
    """
    colours, height, left, width = (ACCENT, _BESIDE), 16, 130, 520
    row_height = height * len(labels) + 10
    canvas = Canvas(left + width + 40, 40 + row_height * len(rows) + 30)
    axis = Axis(0, 1, left, left + width)
    box = Box(left, 34, width, row_height * len(rows))
    for i, label in enumerate(labels):
        canvas.fill(Box(left + 260 * i, 8, 12, 12), colour=colours[i])
        canvas.text(left + 260 * i + 18, 14, label, size=12, anchor="lm")
    for share in (0.25, 0.5, 0.75, 1.0):
        canvas.lines([(axis(share), box.top), (axis(share), box.bottom)], colour=GRID)
    for n, (name, figures) in enumerate(rows.items()):
        top = box.top + n * row_height + 5
        canvas.text(left - 8, top + row_height / 2 - 5, name, size=12, anchor="rm")
        for i, figure in enumerate(figures):
            if figure is None:
                continue
            middle = top + height * (i + 0.5)
            bar = Box(left, top + height * i + 2, axis(figure.value) - left, height - 4)
            canvas.fill(bar, colour=colours[i])
            if figure.interval:
                ends = [(axis(figure.interval.low), middle), (axis(figure.interval.high), middle)]
                canvas.lines(ends, colour=INK, width=1.5)
    canvas.x_ticks(box, axis)
    return canvas.finish()


def histogram_picture(seconds: Mapping[str, Sequence[float]], title: str) -> Image.Image:
    """How often something takes how long, in steps of a frame; what lies outside of the picture is at its edges.

    Args:
        seconds: label -> the values; two at most.
        title: above it.
    """
    edges = np.arange(_FROM_S, _TO_S + _BIN_S / 2, _BIN_S)
    canvas = Canvas(720, 260)
    box = Box(50, 50, 640, 160)
    axis = Axis(_FROM_S, _TO_S, box.left, box.right)
    canvas.text(box.left, 16, title, size=13, anchor="lm")
    counts = {
        label: np.histogram(np.clip(values, _FROM_S, edges[-1] - 1e-6), edges)[0] / max(len(values), 1)
        for label, values in seconds.items()
    }
    most = max((float(shares.max()) for shares in counts.values()), default=0.0) or 1.0
    for tick in nice_ticks(0, most, count=3):
        y = box.bottom - tick / most * box.height
        canvas.lines([(box.left, y), (box.right, y)], colour=GRID)
        canvas.text(box.left - 6, y, f"{100 * tick:.0f} %", size=11, colour=MUTED, anchor="rm")
    bar = box.width / (len(edges) - 1) / max(len(counts), 1)
    for i, (label, shares) in enumerate(counts.items()):
        colour = (ACCENT, _BESIDE)[i]
        canvas.fill(Box(box.left + 220 * i, 30, 12, 12), colour=colour)
        canvas.text(box.left + 220 * i + 18, 36, f"{label} ({len(seconds[label])})", size=12, anchor="lm")
        for n, share in enumerate(shares):
            height = share / most * box.height
            left = axis(edges[n]) + i * bar
            canvas.fill(Box(left, box.bottom - height, bar, height), colour=colour if height else PAPER)
    canvas.lines([(axis(0), box.top), (axis(0), box.bottom)], colour=INK)
    canvas.x_ticks(box, axis, suffix=" s")
    return canvas.finish()


def conversation_picture(row: ConversationRow, moshi: Moshi) -> Image.Image:
    """The rows of a conversation, with what is said, what was expected, and what is heard in the sound."""
    conversation = row.conversation
    codes = torch.cat([conversation.text[None], conversation.codes, conversation.user_codes])
    words = {
        "user": [(word.start_s, word.text) for word in conversation.user_words],
        "expected": [(word.start_s, word.text) for word in conversation.expected_words],
        "Moshi says": [(word.start_s, word.text) for word in conversation.said],
    }
    if conversation.heard:  # below what the user says, when it is written
        heard = [(word.frame / conversation.frame_rate, word.text) for word in conversation.heard]
        words = {"user": words.pop("user"), "Moshi hears": heard, **words}
    if row.sounds:
        words["in the sound"] = [(word.start_s, word.text) for word in row.sounds.heard]
    return streams_picture(
        codes,
        frame_rate=conversation.frame_rate,
        codebook_size=moshi.codebook_size,
        pad=moshi.pad_token,
        epad=moshi.epad_token,
        words=words,
        heard=_frames_of(conversation),
    )


def _frames_of(conversation: Conversation) -> Tensor:
    """Where the text has words of the user's, bool [T]."""
    heard = torch.zeros_like(conversation.text, dtype=torch.bool)
    for word in conversation.heard:
        heard[word.frame : word.frame + len(word.tokens)] = True
    return heard
