"""How close the decoded clip is to the recording, for each number of codebooks."""

import importlib
import importlib.util
from dataclasses import replace

import soxr
import torch
from torch import Tensor

from moshi_zoo.evaluation.measurement import CodedClip, Measure, Value
from moshi_zoo.evaluation.speaker import SpeakerSimilarity
from moshi_zoo.metrics.codec import SISDR, STOI, ClipMean, MelDistance, STFTDistance, is_silent

_LEAST_SAMPLES = 2048  # the longest transform of the spectral distances
_PESQ_SECONDS = 0.25  # the standard's shortest clip
_NO_PESQ = "the package `pesq` is not installed: it comes with the extra `eval`, or with pip install pesq"
_NAN = float("nan")


class Quality:
    """SI-SDR, STOI, spectral distances, PESQ where it is installed, and voice similarity.

    Silent clips (under -60 dB) and those too short for a measure have no value there.

    Args:
        sample_rate: of the clips, in Hz.
        max_hz: upper limit of the mel distance: what the recordings contain; None: all.
        similarity: compares voices.
        device: where the clips are.
    """

    def __init__(
        self, sample_rate: int, *, max_hz: float | None, similarity: SpeakerSimilarity, device: torch.device
    ) -> None:
        self.sample_rate, self.similarity = sample_rate, similarity
        self.waveform: dict[Measure, ClipMean] = {
            Measure("si_sdr", "SI-SDR", "dB"): SISDR(),
            Measure("stoi", "STOI"): STOI(sample_rate),
            Measure("mel", "log-mel distance", better="lower"): MelDistance(sample_rate, max_hz=max_hz).to(device),
            Measure("stft", "multi-resolution STFT distance", better="lower"): STFTDistance().to(device),
        }
        has_pesq = importlib.util.find_spec("pesq") is not None
        self.pesq = {Measure("pesq_wb", "PESQ wide band"): "wb", Measure("pesq_nb", "PESQ narrow band"): "nb"}
        self.pesq = self.pesq if has_pesq else {}
        self.skipped = {} if has_pesq else {"pesq": _NO_PESQ}

    def __call__(self, coded: CodedClip) -> dict[Measure, Value]:
        """All measures of one clip."""
        target = coded.wav
        estimates = torch.stack([wav[: len(target)] for wav in coded.decoded.values()])  # [L, S]
        voice = Measure(self.similarity.name, self.similarity.title)
        usable = len(target) >= _LEAST_SAMPLES and not is_silent(target[None, None]).item()
        if usable:
            values = {m: self._waveform(metric, estimates, target) for m, metric in self.waveform.items()}
            values[voice] = [self.similarity.compare(wav, target, self.sample_rate) for wav in estimates]
            values |= {m: self._pesq(band, estimates, target) for m, band in self.pesq.items()}
        else:
            values = {m: [_NAN] * len(estimates) for m in (*self.waveform, voice, *self.pesq)}
        return {
            replace(measure, num_codebooks=k): Value(value)
            for measure, of_levels in values.items()
            for k, value in zip(coded.decoded, of_levels, strict=True)
        }

    def _waveform(self, metric: ClipMean, estimates: Tensor, target: Tensor) -> list[float]:
        targets = target.expand_as(estimates)
        return metric.measure(estimates[:, None].float(), targets[:, None].float()).tolist()

    def _pesq(self, band: str, estimates: Tensor, target: Tensor) -> list[float]:
        """MOS-LQO; nan where PESQ finds no speech."""
        package = importlib.import_module("pesq")
        if len(target) < _PESQ_SECONDS * self.sample_rate:
            return [_NAN] * len(estimates)
        rate = 16_000 if band == "wb" else 8_000
        reference, *others = (
            soxr.resample(wav.float().cpu().numpy(), self.sample_rate, rate, quality="HQ")
            for wav in (target, *estimates)
        )
        silently = package.PesqError.RETURN_VALUES
        scores = [float(package.pesq(rate, reference, other, band, on_error=silently)) for other in others]
        return [score if score > 0 else _NAN for score in scores]
