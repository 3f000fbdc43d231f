"""ABX: do a codec's frames tell words apart? The phonetic test of speech representations.

**Definition** (Schatz et al., Interspeech 2013; as in Libri-Light, arXiv 1912.07875, and the ZeroSpeech challenges).
Of three segments, A and X say the same and B something else. The codec errs if d(A, X) > d(B, X), and half errs if the
two are equal; chance is 50 %. ``d`` is the mean angle between frames along the best alignment (`dtw.dtw_distances`).
Within speakers, all three are of one speaker; across speakers, A and B are of one and X of another. The error is the
mean over ordered contrasts (A, B) of the mean over speakers (or pairs of speakers) of the mean over triples.

**Here**: contrasts are of words, or of phones whatever their neighbours (the published phone ABX lets only the middle
phone of a triphone differ, which needs a large corpus and gives lower errors). The frames of a segment are those whose
middle lies in it, at least one. Triples are drawn evenly over contrasts. Compared are the semantic frames (what the
first codebook sends on, the figure of Moshi paper 3.3.2, table 3) and the latent before the quantizer.

**Interval**: clips are resampled, and a triple counts by the product of its clips' counts (Owen 2007, the pigeonhole
bootstrap: a little wide).
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np
from torch import Tensor

from moshi_zoo.evaluation.bootstrap import Interval, interval_of, resampled_counts
from moshi_zoo.evaluation.dtw import dtw_distances
from moshi_zoo.evaluation.measurement import SHARE, Clip, Figure, Measure, Segment
from moshi_zoo.evaluation.triples import Floats, Ints, Mode, Triples, mean_over_contrasts, sample_triples

_MODES: tuple[Mode, ...] = ("within", "across")
_TIE = 1e-6  # equal codes can give angles that differ in the last digits
_CHUNK = 50  # resamples at once


class Abx:
    """The test over a set of clips.

    Args:
        frame_rate: of the features, in Hz.
        limit: triples of each mode, at most.
    """

    def __init__(self, frame_rate: float, *, limit: int = 20_000):
        self.frame_rate, self.limit = frame_rate, limit
        self.labels: list[str] = []
        self.speakers: list[str] = []
        self.clips: list[int] = []  # of each segment
        self.frames: dict[str, list[Tensor]] = defaultdict(list)
        self._num_clips = 0

    def add(self, clip: Clip, features: Mapping[str, Tensor]) -> None:
        """Take in the segments of a clip whose speaker is known.

        Args:
            clip: with its segments.
            features: name -> [T, D]; may be empty for a clip without segments.
        """
        segments = [s for s in clip.segments if s.speaker or clip.speaker]
        for name, frames in features.items():
            # A copy: a slice would keep the whole clip's frames in memory.
            self.frames[name] += [segment_frames(frames, s, self.frame_rate).cpu().clone() for s in segments]
        self.labels += [s.label for s in segments]
        self.speakers += [s.speaker or clip.speaker or "" for s in segments]
        self.clips += [self._num_clips] * len(segments)
        self._num_clips += 1

    def figures(
        self, *, resamples: int, seed: int, tell: Callable[[str], None] = lambda what: None
    ) -> tuple[list[Figure], dict[str, str]]:
        """Errors as shares of 1, and why a mode was skipped: ``({abx_within_semantic: ...}, {abx_across: ...})``."""
        figures, skipped = [], {}
        for mode in _MODES:
            triples = sample_triples(self.labels, self.speakers, mode=mode, limit=self.limit, seed=seed)
            if not len(triples):
                skipped[f"abx_{mode}"] = self._why_not(mode)
                continue
            for name, frames in self.frames.items():
                tell(f"ABX {mode} speakers, {name}: {len(triples)} triples")
                errors = abx_errors(frames, triples)
                measure = Measure(f"abx_{mode}_{name}", f"ABX error {mode} speakers, {name}", SHARE, "lower")
                interval = self._interval(errors, triples, resamples=resamples, seed=seed)
                figures.append(Figure(measure, float(mean_over_contrasts(errors, triples)[0]), interval, len(triples)))
        return figures, skipped

    def _interval(self, errors: Floats, triples: Triples, *, resamples: int, seed: int) -> Interval:
        counts = resampled_counts(self._num_clips, resamples=resamples, seed=seed)  # [R, N]
        a, b, x = (np.array(self.clips)[side] for side in (triples.a, triples.b, triples.x))
        means = []
        for chunk in np.array_split(counts, math.ceil(resamples / _CHUNK)):
            weights = chunk[:, a]
            weights = weights * np.where(b == a, 1, chunk[:, b])  # a clip counts once in a triple
            weights *= np.where((x == a) | (x == b), 1, chunk[:, x])
            means.append(mean_over_contrasts(errors, triples, weights))
        return interval_of(np.concatenate(means))

    def _why_not(self, mode: Mode) -> str:
        if not self.labels:
            return "no segment has a label and a known speaker (`words` or `phonemes`, and `speaker` in the manifest)"
        if mode == "within":
            return "no speaker says one word twice and another word"
        return "no two speakers say the same word, one of them another word too"


def abx_errors(frames: list[Tensor], triples: Triples) -> Floats:
    """0, 1/2 or 1 for each triple, [M], from the frames [T, D] of each segment."""
    pairs = np.concatenate([_pairs(triples.a, triples.x), _pairs(triples.b, triples.x)])
    different, which = np.unique(pairs, axis=0, return_inverse=True)
    used, renumbered = np.unique(different, return_inverse=True)
    distances = dtw_distances([frames[i] for i in used], renumbered.reshape(-1, 2))[which.reshape(-1)]
    a_to_x, b_to_x = np.split(distances, 2)
    return np.where(np.abs(a_to_x - b_to_x) <= _TIE, 0.5, (a_to_x > b_to_x).astype(np.float64))


def segment_frames(frames: Tensor, segment: Segment, frame_rate: float) -> Tensor:
    """The frames [T, D] whose middle lies in a segment; the one at the segment's middle if there is none."""
    first, last = (math.ceil(s * frame_rate - 0.5) for s in (segment.start_s, segment.end_s))
    if last <= first:
        first = math.floor((segment.start_s + segment.end_s) / 2 * frame_rate)
        last = first + 1
    first = min(max(first, 0), len(frames) - 1)
    return frames[first : max(last, first + 1)]


def _pairs(left: Ints, right: Ints) -> Ints:
    """[M, 2], the smaller index first: the distance is the same both ways."""
    return np.sort(np.column_stack([left, right]), axis=1)
