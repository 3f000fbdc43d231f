"""The codec suite: everything measured about a codec on a set of clips."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from moshi_zoo.evaluation.abx import Abx
from moshi_zoo.evaluation.codec import Codec, HasFeatures
from moshi_zoo.evaluation.idempotence import Idempotence
from moshi_zoo.evaluation.measurement import SHARE, Clip, ClipRow, CodedClip, Figure, Measure, figures_over_clips
from moshi_zoo.evaluation.quality import Quality
from moshi_zoo.evaluation.recogniser import Recognition, WordNet
from moshi_zoo.evaluation.speaker import MFCC_SIMILARITY, SpeakerSimilarity
from moshi_zoo.evaluation.speed import SECONDS, speed_figures
from moshi_zoo.metrics.codec import CodebookUse


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Args:
        num_codebooks: decode from so many codebooks each, and from all; empty: 1, 2, 4 ... and all.
        max_hz: upper limit of the mel distance: what the recordings contain; None: all.
        max_triples: of each kind of ABX, at most.
        resamples: for the intervals.
        seed: of resamples and triples.
        num_examples: clips whose sound is kept.
    """

    num_codebooks: tuple[int, ...] = ()
    max_hz: float | None = None
    max_triples: int = 20_000
    resamples: int = 1000
    seed: int = 0
    num_examples: int = 3


@dataclass(frozen=True)
class Sounds:
    """A clip and what the codec makes of it: number of codebooks -> waveform [S]."""

    name: str
    original: Tensor
    decoded: dict[int, Tensor]


@dataclass(frozen=True)
class CodecReport:
    """What was measured.

    Args:
        codec: sample_rate, frame_rate, num_codebooks and codebook_size.
        settings: with the numbers of codebooks written out.
        figures: results over all clips.
        skipped: what was not measured -> why.
        clips: values of each clip.
        counts: uses of each code, [K, V].
        sounds: of the first clips.
        took: seconds of measuring.
    """

    codec: dict[str, float]
    settings: Settings
    figures: list[Figure]
    skipped: dict[str, str]
    clips: list[ClipRow]
    counts: Tensor
    sounds: list[Sounds]
    took: float


@torch.inference_mode()
def evaluate_codec(
    codec: Codec,
    clips: Iterable[Clip],
    settings: Settings | None = None,
    *,
    device: torch.device | str = "cpu",
    similarity: SpeakerSimilarity = MFCC_SIMILARITY,
    recogniser: WordNet | None = None,
    tell: Callable[[str], None] = lambda what: None,
) -> CodecReport:
    """Measure a codec: quality for each number of codebooks, and once codebook use, idempotence, ABX and speed.

    Args:
        codec: ours in a `ZooCodec`, or anything that has its methods.
        clips: taken one by one, and not kept.
        settings: how.
        device: where the codec is.
        similarity: compares voices.
        recogniser: judges clips of one word.
        tell: is told what begins after the clips.

    Raises:
        ValueError: if there are no clips, or the codec has not as many codebooks as asked for.
    """
    began = time.perf_counter()
    settings = complete(settings or Settings(), codec)
    device = torch.device(device)
    quality = Quality(codec.sample_rate, max_hz=settings.max_hz, similarity=similarity, device=device)
    measurements = [quality, Idempotence(codec), *([Recognition(recogniser.to(device))] if recogniser else [])]
    abx = Abx(codec.frame_rate, limit=settings.max_triples)
    use = CodebookUse(codec.num_codebooks, codec.codebook_size, frame_rate=codec.frame_rate)
    rows: list[ClipRow] = []
    sounds: list[Sounds] = []
    speech = torch.zeros(0, device=device)
    for clip in clips:
        coded = _code(codec, clip, settings.num_codebooks, device)
        values = {measure: value for m in measurements for measure, value in m(coded).items()}
        rows.append(ClipRow(clip.name, clip.speaker, len(clip.wav) / codec.sample_rate, values))
        use.update(coded.codes[None].cpu())
        shown = codec.features(coded.wav[None, None]) if isinstance(codec, HasFeatures) and clip.segments else {}
        abx.add(clip, {name: frames[0] for name, frames in shown.items()})
        if len(sounds) < settings.num_examples:
            sounds.append(_sounds(coded))
        if len(speech) < SECONDS * codec.sample_rate:
            speech = torch.cat([speech, coded.wav])
    if not rows:
        raise ValueError("there are no clips to evaluate")
    tell("speed")
    speeds, not_fast = speed_figures(codec, speech)
    abx_figures, not_compared = [], {"abx": "this codec does not show its inner representations"}
    if isinstance(codec, HasFeatures):
        abx_figures, not_compared = abx.figures(resamples=settings.resamples, seed=settings.seed, tell=tell)
    tell("intervals")
    of_clips = figures_over_clips(rows, resamples=settings.resamples, seed=settings.seed)
    undefined = {f.measure.name: _UNDEFINED.get(f.measure.name, _TOO_SHORT) for f in of_clips if not f.count}
    return CodecReport(
        codec={name: getattr(codec, name) for name in ("sample_rate", "frame_rate", "num_codebooks", "codebook_size")},
        settings=settings,
        figures=[*(f for f in of_clips if f.count), *_codebook_figures(use), *abx_figures, *speeds],
        skipped={**quality.skipped, **undefined, **not_compared, **not_fast},
        clips=rows,
        counts=use.counts,
        sounds=sounds,
        took=time.perf_counter() - began,
    )


def complete(settings: Settings, codec: Codec) -> Settings:
    """Write out which numbers of codebooks are meant.

    Raises:
        ValueError: if the codec does not have so many.
    """
    most = codec.num_codebooks
    levels = settings.num_codebooks or tuple(2**i for i in range(most.bit_length()) if 2**i < most)
    if not all(1 <= k <= most for k in levels):
        raise ValueError(f"num_codebooks is {', '.join(map(str, levels))}, but this codec has 1 to {most}")
    return replace(settings, num_codebooks=tuple(sorted({*levels, most})))


_TOO_SHORT = "every clip is too short or silent for it"
_UNDEFINED = {"recognised": "no clip is a single word that the recogniser was trained on"}


def _code(codec: Codec, clip: Clip, levels: tuple[int, ...], device: torch.device) -> CodedClip:
    wav = clip.wav.to(device)
    codes = codec.encode(wav[None, None])  # [1, K, T]
    decoded = {}
    for k in levels:
        sound = codec.decode(codes[:, :k])[0, 0]
        decoded[k] = F.pad(sound, (0, max(0, len(wav) - len(sound))))
    return CodedClip(clip, wav, codes[0], decoded)


def _sounds(coded: CodedClip) -> Sounds:
    decoded = {k: wav[: len(coded.wav)].cpu() for k, wav in coded.decoded.items()}
    return Sounds(coded.clip.name, coded.wav.cpu(), decoded)


def _codebook_figures(use: CodebookUse) -> list[Figure]:
    """Without intervals: a resample of the clips always holds fewer different codes than the clips themselves."""
    measured = use.compute()
    frames = int(use.counts[0].sum())
    figures = [
        Figure(Measure(name, title, unit, level=level), value, count=frames)
        for name, title, unit in (
            ("used", "entries used", SHARE),
            ("perplexity", "perplexity", ""),
            ("entropy", "entropy", "bits"),
        )
        for level, value in enumerate(measured[name].tolist())
    ]
    bitrate = Measure("bitrate", "measured bitrate, all codebooks", "bit/s", "neither")
    return [*figures, Figure(bitrate, float(measured["bitrate"]), count=frames)]
