"""How close the decoded clip is to the recording, for each number of codebooks."""

import importlib.util
from collections.abc import Callable

import soxr
import torch
from torch import Tensor

from moshi_zoo.evaluation.measurement import CodedClip, Measure, Value
from moshi_zoo.evaluation.speaker import SpeakerSimilarity
from moshi_zoo.metrics.codec import CodecMetrics, is_silent

_LEAST_SAMPLES = 2048  # the longest transform of the spectral distances
_PESQ_SECONDS = 0.25  # the standard's shortest clip
_NAN = float("nan")

WAVEFORM = (
    Measure("si_sdr", "SI-SDR", "dB"),
    Measure("stoi", "STOI"),
    Measure("mel", "log-mel distance", better="lower"),
    Measure("stft", "multi-resolution STFT distance", better="lower"),
)
PESQ = (Measure("pesq_wb", "PESQ wide band"), Measure("pesq_nb", "PESQ narrow band"))


class Quality:
    """SI-SDR, STOI, spectral distances, PESQ where installed, and voice similarity.

    Silent clips (under -60 dB) and those too short for a measure have no value there.

    Args:
        sample_rate: of the clips, in Hz.
        max_hz: upper limit of the mel distance: what the recordings contain; None: all.
        similarity: compares voices.
        device: where the clips are.
    """

    def __init__(
        self, sample_rate: int, *, max_hz: float | None, similarity: SpeakerSimilarity, device: torch.device
    ):
        self.sample_rate, self.similarity = sample_rate, similarity
        self.metrics = CodecMetrics(sample_rate, max_hz=max_hz).to(device)
        self.pesq = _pesq()
        self.skipped = {} if self.pesq else {"pesq": "the package `pesq` is not installed: pip install pesq"}

    def __call__(self, coded: CodedClip) -> dict[Measure, Value]:
        """All measures of one clip."""
        target = coded.wav
        levels = list(coded.decoded)
        estimates = torch.stack([coded.decoded[k][: len(target)] for k in levels])  # [L, S]
        usable = len(target) >= _LEAST_SAMPLES and not is_silent(target[None, None]).item()
        row = {}
        for measure in WAVEFORM:
            values = self._waveform(measure.name, estimates, target) if usable else [_NAN] * len(levels)
            row |= _at(levels, measure, values)
        voice = Measure(self.similarity.name, self.similarity.title)
        compare = self.similarity.compare
        row |= _at(levels, voice, [compare(e, target, self.sample_rate) if usable else _NAN for e in estimates])
        for measure in PESQ if self.pesq else ():
            row |= _at(levels, measure, self._pesq(measure.name[-2:], estimates, target) if usable else [_NAN] * len(levels))
        return row

    def _waveform(self, name: str, estimates: Tensor, target: Tensor) -> list[float]:
        targets = target.expand_as(estimates)
        return self.metrics[name].measure(estimates[:, None].float(), targets[:, None].float()).tolist()

    def _pesq(self, mode: str, estimates: Tensor, target: Tensor) -> list[float]:
        if len(target) < _PESQ_SECONDS * self.sample_rate:
            return [_NAN] * len(estimates)
        rate = 16_000 if mode == "wb" else 8_000
        reference, *others = (
            soxr.resample(wav.float().cpu().numpy(), self.sample_rate, rate, quality="HQ") for wav in [target, *estimates]
        )
        scores = [self.pesq(rate, reference, other, mode) for other in others]
        return [score if score > 0 else _NAN for score in scores]


def _at(levels: list[int], measure: Measure, values: list[float]) -> dict[Measure, Value]:
    return {
        Measure(measure.name, measure.title, measure.unit, measure.better, num_codebooks=k): Value(value)
        for k, value in zip(levels, values, strict=True)
    }


def _pesq() -> Callable[..., float] | None:
    """``(rate, reference, estimate, mode) -> MOS``, -1 where no speech is found; None if it is not installed."""
    if importlib.util.find_spec("pesq") is None:
        return None
    from pesq import PesqError, pesq

    return lambda *arguments: float(pesq(*arguments, on_error=PesqError.RETURN_VALUES))
