"""Speech in another voice, from a few minutes of that voice: each frame is replaced by the one of theirs most like it.

Unit selection, as concatenative synthesis and kNN voice conversion do it: sounds are compared after what is typical of
each voice (mean and deviation of its cepstra) is taken away, and runs of frames that belong together are preferred.
What comes out is rough, but word for word and frame for frame what went in: a model that learns from it learns a voice,
and unlearns nothing that it says.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from moshi_zoo.spectrogram import MelSpectrogram

_PARTS = 4  # of a frame: spectra of 20 ms
_NUM_MELS, _NUM_CEPSTRA, _MIN_HZ, _MAX_HZ = 40, 12, 80.0, 7600.0
_SPEECH_DB = -38.0  # below the loudest frames: what is quieter is a pause
_DIGITAL_SILENCE = -10.0  # log energy: what the floor of the bands alone amounts to
_NEIGHBOURS = 0.5  # weight of the frames before and after
_LOUDNESS = 2.0  # weight of the level, one number beside twelve cepstra
_CANDIDATES = 24  # units looked at for each frame
_JUMP = 0.35  # price of a unit that does not go on from the one before, beside the mean distance


@dataclass(frozen=True)
class Sounds:
    """What frames sound like.

    Args:
        features: float32 [T, D], without what is typical of the voice.
        speech: bool [T].
    """

    features: Tensor
    speech: Tensor


@dataclass(frozen=True)
class Units:
    """Frames of a voice to choose from.

    Args:
        features: float32 [N, D].
        codes: int64 [K, N].
        goes_on: whether unit n follows unit n - 1 in the same recording, bool [N].
    """

    features: Tensor
    codes: Tensor
    goes_on: Tensor


def sounds(wavs: Sequence[Tensor], sample_rate: int, frame_size: int) -> list[Sounds]:
    """Describe the frames of one voice.

    Args:
        wavs: recordings [S], in whole frames.
        sample_rate: in Hz.
        frame_size: samples of a frame.

    Raises:
        ValueError: if nobody speaks in them.
    """
    spectra = [_cepstra(wav, sample_rate, frame_size) for wav in wavs]  # [T, parts, 1 + cepstra]
    every = torch.cat(spectra)
    levels = every[..., 0].mean(1)  # [T], of log energy
    threshold = levels.quantile(0.98) + _SPEECH_DB / 10 * math.log(10)
    spoken = every[levels > threshold].flatten(0, 1)
    if float(levels.max()) < _DIGITAL_SILENCE:
        raise ValueError("nobody speaks in these recordings")
    mean, deviation = spoken.mean(0), spoken.std(0).clamp(min=1e-3)
    found = []
    for spectrum in spectra:
        own = (spectrum - mean) / deviation
        own[..., 0] *= _LOUDNESS
        flat = own.flatten(1)
        before, after = torch.cat([flat[:1], flat[:-1]]), torch.cat([flat[1:], flat[-1:]])
        features = torch.cat([flat, _NEIGHBOURS * before, _NEIGHBOURS * after], dim=1)
        found.append(Sounds(features, spectrum[..., 0].mean(1) > threshold))
    return found


def units(described: Sequence[Sounds], codes: Sequence[Tensor]) -> Units:
    """The frames of a voice in which it speaks, to choose from.

    Args:
        described: its recordings.
        codes: theirs, int64 [K, T] each.
    """
    goes_on = []
    for one in described:
        follows = one.speech.clone()
        follows[0] = False
        follows[1:] &= one.speech[:-1]
        goes_on.append(follows[one.speech])
    return Units(
        features=torch.cat([one.features[one.speech] for one in described]),
        codes=torch.cat([own[:, one.speech] for one, own in zip(described, codes, strict=True)], dim=1),
        goes_on=torch.cat(goes_on),
    )


def revoiced(described: Sounds, codes: Tensor, voice: Units) -> Tensor:
    """Codes [K, T] with the units of another voice where there is speech; pauses stay as they are.

    Args:
        described: what the codes sound like.
        codes: int64 [K, T].
        voice: to speak with.
    """
    result = codes.clone()
    for start, stop in _runs(described.speech):
        chosen = _path(described.features[start:stop], voice)
        result[:, start:stop] = voice.codes[:, chosen]
    return result


def _path(features: Tensor, voice: Units) -> Tensor:
    """The cheapest units [T] for frames that follow each other: Viterbi's algorithm among the nearest of each."""
    distances = torch.cdist(features, voice.features)  # [T, N]
    near, candidates = distances.topk(min(_CANDIDATES, distances.shape[1]), largest=False)  # [T, C]
    jump = _JUMP * float(near.mean())
    cost, origins = near[0], []
    for t in range(1, len(features)):
        follows = (candidates[t][None] == candidates[t - 1][:, None] + 1) & voice.goes_on[candidates[t]][None]
        total = cost[:, None] + jump * (~follows)  # [C before, C]
        best, origin = total.min(0)
        cost = best + near[t]
        origins.append(origin)
    place = int(cost.argmin())
    chosen = [place]
    for origin in reversed(origins):
        place = int(origin[place])
        chosen.append(place)
    return candidates[torch.arange(len(features)), torch.tensor(chosen[::-1])]


def _runs(mask: Tensor) -> list[tuple[int, int]]:
    edges = torch.diff(mask.int(), prepend=torch.zeros(1).int(), append=torch.zeros(1).int())
    return list(zip(*((edges == sign).nonzero()[:, 0].tolist() for sign in (1, -1)), strict=True))


def _cepstra(wav: Tensor, sample_rate: int, frame_size: int) -> Tensor:
    """[S] -> log energy and cepstra, [T, parts, 1 + cepstra]."""
    hop = frame_size // _PARTS
    mel = MelSpectrogram(
        sample_rate, 2 * hop, _NUM_MELS, min_hz=_MIN_HZ, max_hz=min(_MAX_HZ, sample_rate / 2), power=2, hop=hop
    )
    bands = mel(wav).clamp(min=1e-8)  # [M, T * parts]
    order = torch.arange(1, _NUM_CEPSTRA + 1)[:, None]
    cosines = (math.pi * order * (torch.arange(_NUM_MELS) + 0.5) / _NUM_MELS).cos()
    values = torch.cat([bands.sum(0, keepdim=True).log(), cosines @ bands.log()]).T  # [T * parts, 1 + cepstra]
    return values.reshape(-1, _PARTS, values.shape[1])
