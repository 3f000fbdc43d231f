"""Idempotence: does coding a codec's output give the same codes? A watermark in them needs that (Moshi paper, T16)."""

import math

from moshi_zoo.evaluation.codec import Codec, frame_samples
from moshi_zoo.evaluation.measurement import SHARE, CodedClip, Measure, Value

SHIFTS = {"idempotence": (0.0, "same codes again"), "idempotence_half_frame": (0.5, "same codes half a frame later")}
"""Name -> shift in frames and title."""


class Idempotence:
    """Share of codes that come back, level by level.

    A clip is coded with all codebooks, decoded, and coded again; code (k, t) counts as the same if both passes agree on
    it. With a shift the decoded clip loses its first samples before the second pass, so that frame t there starts that
    much later. Where the passes differ in length, the frames of the shorter one are compared. A clip counts by its
    frames.

    Args:
        codec: which.
    """

    def __init__(self, codec: Codec):
        self.codec = codec

    def __call__(self, coded: CodedClip) -> dict[Measure, Value]:
        """Shares of one clip."""
        decoded, samples = coded.decoded[self.codec.num_codebooks], frame_samples(self.codec)
        row = {}
        for name, (shift, title) in SHIFTS.items():
            wav = decoded[round(shift * samples) :]
            again = self.codec.encode(wav[None, None])[0]  # [K, T]
            # A last frame that was filled up with zeros is another one.
            T = min(coded.codes.shape[1], again.shape[1], len(wav) // samples)
            for level, equal in enumerate((again[:, :T] == coded.codes[:, :T]).sum(dim=1).tolist()):
                row[Measure(name, title, SHARE, level=level)] = Value(equal / T if T else math.nan, weight=T)
        return row
