"""Has a voice been learnt? Replies beside recordings of the person, and what can be reached at all.

Every similarity is that of a stretch of speech to the middle of the person's own recordings. Beside the replies stand
the most that the codec can show (the person through it), the person herself (each recording beside her others), other
speakers, who are the floor, and the replies of the model without the adapter.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import soxr
import torch
import torch.nn.functional as F
from torch import Tensor

from moshi_zoo.evaluation.bootstrap import bootstrap_means
from moshi_zoo.evaluation.codec import Codec
from moshi_zoo.evaluation.measurement import SHARE, Figure, Measure
from moshi_zoo.evaluation.voiceprint import SAMPLE_RATE, Voiceprint, learn, statistics, stretches

RESAMPLES = 1000

TARGET, CODED, OTHERS = "target", "target through the codec", "other speakers"
"""What replies are compared with: ceiling, the ceiling that the codec leaves, floor."""


@dataclass(frozen=True)
class Voice:
    """A recording.

    Args:
        speaker: whose.
        wav: [S] at the codec's sample rate.
    """

    speaker: str
    wav: Tensor


@dataclass(frozen=True)
class VoiceReport:
    """All results.

    Args:
        similarity: to the person, by what is compared.
        reached: share of the way from other speakers to the person through the codec, by model.
        closer: share of stretches of the replies that are closer to the person than to the model's own voice.
        voiceprint_speakers: that the embedding was learnt from.
    """

    similarity: dict[str, Figure]
    reached: dict[str, float]
    closer: dict[str, Figure]
    voiceprint_speakers: int


def through(codec: Codec, wav: Tensor) -> Tensor:
    """A waveform [S] as the codec hears and says it; the last frame is left out unless it is whole."""
    frame = round(codec.sample_rate / codec.frame_rate)
    whole = wav[: len(wav) // frame * frame]
    with torch.inference_mode():
        return codec.decode(codec.encode(whole[None, None]))[0, 0].cpu()


def learn_voiceprint(
    voices: Sequence[Voice], codec: Codec, *, device: torch.device | str = "cpu", step: Callable[[], None]
) -> Voiceprint:
    """Learn the embedding from speakers, each recording as it is and through the codec.

    Args:
        voices: recordings of many speakers.
        codec: what it does to a voice shall not count.
        device: where the codec is.
        step: called after each recording.
    """
    examples: list[Tensor] = []
    speakers: list[str] = []
    for voice in voices:
        for wav in (voice.wav, through(codec, voice.wav.to(device))):
            found = _statistics(wav, codec.sample_rate)
            examples += found
            speakers += [voice.speaker] * len(found)
        step()
    return learn(examples, speakers)


def evaluate_voice(
    voiceprint: Voiceprint,
    codec: Codec,
    *,
    target: Sequence[Voice],
    others: Sequence[Voice],
    replies: Mapping[str, Tensor],
    base: str,
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> VoiceReport:
    """Compare voices.

    Args:
        voiceprint: tells them apart.
        codec: that the replies are decoded with.
        target: recordings of the person that no model has learnt from, two at least.
        others: recordings of people that the voiceprint has not learnt from.
        replies: name of a model -> what it says, [S] at the codec's sample rate, one reply after the other.
        base: which of these has no adapter.
        device: where the codec is.
        seed: of the resamples.

    Raises:
        ValueError: if there is too little speech to compare.
    """

    def embedded(wav: Tensor) -> Tensor:
        found = [voiceprint.of(x) for x in _statistics(wav, codec.sample_rate)]
        return torch.stack(found) if found else torch.empty(0, voiceprint.projection.shape[1])

    usable = [(voice.wav, own) for voice in target if len(own := embedded(voice.wav))]
    if len(usable) < 2:
        raise ValueError(f"{len(usable)} recordings of the target hold speech enough to compare; give two or more")
    everything = torch.cat([own for _, own in usable])
    middle = everything.mean(0)
    similar = {
        TARGET: torch.cat([_leaving_out(own, own, everything) for _, own in usable]),
        CODED: torch.cat(
            [_leaving_out(embedded(through(codec, wav.to(device))), own, everything) for wav, own in usable]
        ),
        OTHERS: torch.cat([_cosine(embedded(voice.wav), middle) for voice in others]),
    }
    said = {name: embedded(wav) for name, wav in replies.items()}
    similar |= {name: _cosine(own, middle) for name, own in said.items()}
    silent = [name for name, values in similar.items() if not len(values)]
    if silent:
        raise ValueError(f"{', '.join(silent)}: too little speech to tell whose it is: give more dialogues")
    figures = {name: _figure("similarity", values, seed) for name, values in similar.items()}
    floor, ceiling = figures[OTHERS].value, figures[CODED].value
    own_voice = said[base].mean(0)
    closer = {name: (_cosine(x, middle) > _cosine(x, own_voice)).float() for name, x in said.items()}
    return VoiceReport(
        similarity=figures,
        reached={name: (figures[name].value - floor) / max(ceiling - floor, 1e-9) for name in replies},
        closer={name: _figure("closer", values, seed, SHARE) for name, values in closer.items()},
        voiceprint_speakers=voiceprint.num_speakers,
    )


def _statistics(wav: Tensor, sample_rate: int) -> list[Tensor]:
    samples = wav.cpu().numpy()
    resampled = soxr.resample(samples, sample_rate, SAMPLE_RATE) if sample_rate != SAMPLE_RATE else samples
    found = []
    for stretch in stretches(torch.from_numpy(np.ascontiguousarray(resampled))):
        try:
            found.append(statistics(stretch))
        except ValueError:  # noise and breath only
            continue
    return found


def _leaving_out(x: Tensor, own: Tensor, everything: Tensor) -> Tensor:
    """Similarity of a recording's stretches to the middle of all other recordings."""
    rest = (everything.sum(0) - own.sum(0)) / max(len(everything) - len(own), 1)
    return _cosine(x, rest)


def _cosine(x: Tensor, middle: Tensor) -> Tensor:
    return F.cosine_similarity(x, middle[None]) if len(x) else torch.empty(0)


def _figure(name: str, values: Tensor, seed: int, unit: str = "") -> Figure:
    means, (interval,) = bootstrap_means(values.double().numpy()[:, None], resamples=RESAMPLES, seed=seed)
    return Figure(Measure(name, name, unit), float(means[0]), interval, len(values))
