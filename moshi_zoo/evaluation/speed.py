"""How fast the codec runs on this machine: real-time factors, and the time of a frame in a stream."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from moshi_zoo.evaluation.bench import time_side_by_side
from moshi_zoo.evaluation.codec import Codec, Streams, frame_samples
from moshi_zoo.evaluation.measurement import Figure, Measure

SECONDS = 10.0
"""Length of the clip."""


def speed_figures(codec: Codec, wav: Tensor, *, runs: int = 5, frames: int = 50) -> tuple[list[Figure], dict[str, str]]:
    """Medians: seconds of computing per second of sound, whole and in a stream; and what was skipped, and why.

    Args:
        codec: which.
        wav: speech [S] on the codec's device; repeated to 10 s, a batch of one.
        runs: over the clip.
        frames: measured in the stream, 4 more before them.
    """
    samples = frame_samples(codec) * round(SECONDS * codec.frame_rate)
    clip = wav.repeat(math.ceil(samples / len(wav)))[None, None, :samples]  # [1, 1, S]
    codes = codec.encode(clip)
    wait: Callable[[], None] | None = torch.cuda.synchronize if wav.is_cuda else None
    times = time_side_by_side(
        {"encode": lambda: codec.encode(clip), "decode": lambda: codec.decode(codes)},
        runs=runs,
        warmup=1,
        synchronize=wait,
    )
    seconds = samples / codec.sample_rate
    figures = [
        Figure(
            Measure(f"{side}_rtf", f"real-time factor, {side} {SECONDS:g} s", "s/s", "lower"),
            timing.median / 1e3 / seconds,
            count=runs,
        )
        for side, timing in times.items()
    ]
    if not isinstance(codec, Streams):
        return figures, {"stream_frame": "this codec has no streaming interface"}
    step = codec.start_stream()
    each = iter(clip.split(frame_samples(codec), dim=-1))
    timing = time_side_by_side({"frame": lambda: step(next(each))}, runs=frames, warmup=4, synchronize=wait)["frame"]
    milliseconds = 1e3 / codec.frame_rate
    title = f"streaming, encode and decode a frame of {milliseconds:g} ms, median"
    return [*figures, Figure(Measure("stream_frame", title, "ms", "lower"), timing.median, count=frames)], {}
