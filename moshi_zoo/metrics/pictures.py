"""What a run looks like: spectrograms of recordings and reconstructions, use of the codebooks, curves."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from moshi_zoo.metrics.canvas import ACCENT, GRID, INK, MUTED, Axis, Box, Canvas, nice_ticks, number
from moshi_zoo.metrics.codec import code_entropy
from moshi_zoo.spectrogram import MelSpectrogram, hz_to_mel

_WIDTH = 1000
_RANGE_DB = 80  # of a spectrogram: what is quieter than this below the loudest spot is black


def spectrogram_picture(rows: Mapping[str, Tensor], sample_rate: int) -> Image.Image:
    """Log-mel spectrograms under each other, on one scale of time and loudness.

    Args:
        rows: label -> waveform ``[S]``; the first one, usually the recording, sets the loudness.
        sample_rate: of all of them, in Hz.

    Raises:
        ValueError: if there are no rows, or one is not a single waveform.
    """
    if not rows or any(wav.ndim != 1 or not len(wav) for wav in rows.values()):
        shapes = {label: tuple(wav.shape) for label, wav in rows.items()}
        raise ValueError(f"a spectrogram picture needs labelled waveforms [S], given: {shapes or 'none'}")
    seconds = max(len(wav) for wav in rows.values()) / sample_rate
    levels = [_mel_decibels(wav, sample_rate) for wav in rows.values()]
    loudest = float(levels[0].max())
    row_height, gap, top, bottom = 150, 30, 8, 34
    canvas = Canvas(_WIDTH, top + len(rows) * (row_height + gap) + bottom)
    for i, (label, wav, level) in enumerate(zip(rows, rows.values(), levels, strict=True)):
        box = Box(left=58, top=top + i * (row_height + gap) + gap - 6, width=_WIDTH - 58 - 72, height=row_height)
        own = Box(box.left, box.top, box.width * len(wav) / sample_rate / seconds, box.height)
        canvas.text(box.left, box.top - 5, label, size=14, anchor="ls")
        canvas.heatmap(own, (level - loudest) / _RANGE_DB + 1)
        _frequency_ticks(canvas, box, sample_rate)
        if i == 0:
            _loudness_scale(canvas, Box(box.right + 14, box.top, 12, box.height))
        if i == len(rows) - 1:
            canvas.x_ticks(box, Axis(0, seconds, box.left, box.right), suffix=" s")
    return canvas.finish()


def codebook_picture(counts: Tensor) -> Image.Image:
    """How often each codebook uses its entries, most used first; a flat profile is a codebook well spent.

    The height is logarithmic, a rule for each factor of ten; the dark one marks even use.

    Args:
        counts: uses of each entry, ``[K, V]``.

    Raises:
        ValueError: if ``counts`` has no two axes.
    """
    if counts.ndim != 2:
        raise ValueError(f"codebook counts must be [K, V], given {tuple(counts.shape)}")
    counts = counts.detach().cpu().double()
    num_codebooks, size = counts.shape
    perplexity = code_entropy(counts).exp2().tolist()
    columns = min(4, num_codebooks)
    width, height, gap_x, gap_y, left, margin = 218, 92, 18, 44, 46, 14
    num_rows = math.ceil(num_codebooks / columns)
    canvas = Canvas(left + columns * (width + gap_x) - gap_x + margin, margin + num_rows * (height + gap_y))
    for k in range(num_codebooks):
        row, column = divmod(k, columns)
        box = Box(left + column * (width + gap_x), margin + row * (height + gap_y) + 26, width, height)
        canvas.text(box.left, box.top - 17, f"level {k}", size=13, anchor="ls")
        used = int((counts[k] > 0).sum())
        note = f"{used} of {size} used, perplexity {perplexity[k]:.0f}" if counts[k].sum() else "not used"
        canvas.text(box.left, box.top - 4, note, size=11, colour=MUTED, anchor="ls")
        _use_profile(canvas, box, counts[k], labelled=column == 0)
    return canvas.finish()


def curves_picture(series: Mapping[str, Sequence[tuple[float, float]]]) -> Image.Image:
    """Small line charts, one for each series, with the last value beside the name.

    Args:
        series: name -> (step, value) pairs in order; what is nan or infinite is left out.

    Raises:
        ValueError: if there is nothing to draw.
    """
    if not series:
        raise ValueError("there are no curves to draw: the run has logged nothing yet")
    columns = min(3, len(series))
    width, height, gap_x, gap_y, margin = 278, 130, 56, 62, 16
    num_rows = math.ceil(len(series) / columns)
    canvas = Canvas(margin + columns * (width + gap_x) + 8, margin + num_rows * (height + gap_y))
    for i, (name, points) in enumerate(series.items()):
        row, column = divmod(i, columns)
        box = Box(margin + column * (width + gap_x) + gap_x - 12, margin + row * (height + gap_y) + 22, width, height)
        canvas.text(box.left, box.top - 7, name, size=13, anchor="ls")
        _curve(canvas, box, [(x, y) for x, y in points if math.isfinite(y)])
    return canvas.finish()


def _mel_decibels(wav: Tensor, sample_rate: int) -> np.ndarray:
    """``[S] -> [M, T]`` in dB of full scale."""
    n_fft = 1024 if sample_rate >= 16000 else 512
    hop = max(n_fft // 8, len(wav) // 900)  # about a frame a pixel
    mel = MelSpectrogram(sample_rate, n_fft, 96, hop=hop, padding="same")
    wav = wav.detach().cpu().float()
    magnitude = mel(F.pad(wav, (0, max(0, n_fft - len(wav)))))
    return (20 * magnitude.clamp(min=1e-6).log10()).numpy()


def _frequency_ticks(canvas: Canvas, box: Box, sample_rate: int) -> None:
    axis = Axis(0, hz_to_mel(sample_rate / 2), box.bottom, box.top)
    for hz in (0, 500, 1000, 2000, 4000, 8000, 16000):
        if hz < sample_rate / 2:
            y = axis(hz_to_mel(hz))
            canvas.lines([(box.left - 4, y), (box.left - 1, y)], colour=MUTED)
            label = f"{hz // 1000} kHz" if hz >= 1000 else f"{hz} Hz"
            canvas.text(box.left - 8, y, label, size=11, colour=MUTED, anchor="rm")


def _loudness_scale(canvas: Canvas, box: Box) -> None:
    canvas.heatmap(box, np.linspace(0, 1, 64)[:, None])
    axis = Axis(-_RANGE_DB, 0, box.bottom, box.top)
    for decibels in range(-_RANGE_DB, 1, 20):
        canvas.text(box.right + 6, axis(decibels), f"{decibels} dB", size=11, colour=MUTED, anchor="lm")


def _use_profile(canvas: Canvas, box: Box, counts: Tensor, *, labelled: bool) -> None:
    """Bars of log10(share / even share) from -2 to 2, sorted."""
    axis = Axis(-2, 2, box.bottom, box.top)
    canvas.fill(box, colour=(245, 246, 248))
    for decade, label in ((-1, "0.1x"), (0, "even"), (1, "10x")):
        canvas.lines([(box.left, axis(decade)), (box.right, axis(decade))], colour=GRID)
        if labelled:
            canvas.text(box.left - 6, axis(decade), label, size=11, colour=MUTED, anchor="rm")
    share = counts / counts.sum().clamp(min=1) * len(counts)
    heights = share[share > 0].sort(descending=True).values.log10().clamp(-2, 2).tolist()
    bar = box.width / len(counts)
    for i, height in enumerate(heights):
        top = axis(height)
        canvas.fill(Box(box.left + i * bar, top, bar, box.bottom - top), colour=ACCENT)
    canvas.lines([(box.left, axis(0)), (box.right, axis(0))], colour=INK, width=0.5)


def _curve(canvas: Canvas, box: Box, points: Sequence[tuple[float, float]]) -> None:
    if not points:
        canvas.text(box.left + box.width / 2, box.top + box.height / 2, "no values", colour=MUTED, anchor="mm")
        return
    steps, values = zip(*points, strict=True)
    x_axis = Axis(*_widened(min(steps), max(steps)), box.left, box.right)
    low, high = _widened(min(values), max(values))
    y_axis = Axis(low - 0.05 * (high - low), high + 0.05 * (high - low), box.bottom, box.top)
    for value in nice_ticks(y_axis.low, y_axis.high, count=4):
        canvas.lines([(box.left, y_axis(value)), (box.right, y_axis(value))], colour=GRID)
        canvas.text(box.left - 6, y_axis(value), number(value), size=11, colour=MUTED, anchor="rm")
    canvas.x_ticks(box, x_axis)
    path = [(x_axis(step), y_axis(value)) for step, value in points]
    if len(path) > 1:
        canvas.lines(path, colour=ACCENT, width=1.5)
    canvas.dot(*path[-1], colour=ACCENT)
    canvas.text(box.right, box.top - 7, number(values[-1]), size=13, colour=ACCENT, anchor="rs")


def _widened(low: float, high: float) -> tuple[float, float]:
    """A range of more than a point."""
    return (low, high) if high > low else (low - max(abs(low), 1.0) / 2, high + max(abs(high), 1.0) / 2)
