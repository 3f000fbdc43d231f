"""Recordings of a person and of others, to compare voices."""

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moshi_zoo.data.manifest import Recording
    from moshi_zoo.evaluation.voice_suite import Voice

_LEAST_RATE = 16_000  # Hz: telephone calls would all sound alike
_SECONDS = 8.0  # of a recording
_MOST_LEARNT = 200  # recordings
_FLOOR_SHARE = 0.2  # of the other speakers: they are not learnt from


@dataclass(frozen=True)
class ChosenVoices:
    """Recordings by what they are for.

    Args:
        target: of the person.
        learnt: of those whom the embedding is learnt from.
        floor: of other people.
    """

    target: "list[Voice]"
    learnt: "list[Voice]"
    floor: "list[Voice]"


def choose_recordings(target: str, others: Sequence[str] | None, sample_rate: int) -> ChosenVoices:
    """Find and read them.

    Args:
        target: folder or manifest; what is marked as train is left out.
        others: manifests with speakers, or ``synthetic``; None: synthetic ones.
        sample_rate: to read them at, in Hz.

    Raises:
        ValueError: if there are too few.
    """
    from moshi_zoo.data import synthetic
    from moshi_zoo.data.manifest import find

    own = find(target)
    held_out = [recording for recording in own if recording.split != "train"]
    if len(held_out) < 2:
        raise ValueError(
            f"{target} has {len(held_out)} recordings that are not marked as train: give two or more that the adapter "
            "has not learnt from"
        )
    sources = [synthetic.prepare() if source == "synthetic" else source for source in others or ["synthetic"]]
    found = [recording for source in sources for recording in find(source)]
    of_target = _same_people(own, found)
    by_speaker: dict[str, list[Recording]] = defaultdict(list)
    for recording in found:
        who = recording.speaker
        if who and who not in of_target and recording.kind not in ("noise", "rir"):
            by_speaker[who].append(recording)
    speakers = sorted(by_speaker, key=lambda name: hashlib.sha256(name.encode()).digest())
    for_floor = max(round(_FLOOR_SHARE * len(speakers)), 1)
    floor, learnt = speakers[:for_floor], speakers[for_floor:]
    return ChosenVoices(
        target=_read(held_out, "target", sample_rate),
        learnt=_evenly(by_speaker, learnt, sample_rate, most=_MOST_LEARNT),
        floor=_evenly(by_speaker, floor, sample_rate, most=2 * len(floor)),
    )


def _same_people(own: "Sequence[Recording]", found: "Sequence[Recording]") -> set[str]:
    """Names under which the target is among other recordings: by name, or because she says the very same there."""
    sizes = {recording.path.stat().st_size for recording in own}
    digests = {_digest(recording) for recording in own}
    twins = {r.speaker for r in found if r.speaker and r.path.stat().st_size in sizes and _digest(r) in digests}
    return twins | {recording.speaker for recording in own if recording.speaker}


def _digest(recording: "Recording") -> bytes:
    return hashlib.sha256(recording.path.read_bytes()).digest()


def _evenly(
    by_speaker: "dict[str, list[Recording]]", speakers: Sequence[str], sample_rate: int, *, most: int
) -> "list[Voice]":
    """A recording of each speaker, then a second of each, until there are enough."""
    rounds = itertools.zip_longest(*(by_speaker[name] for name in speakers))
    chosen = [recording for one in rounds for recording in one if recording is not None]
    voices: list[Voice] = []
    for recording in chosen:
        if len(voices) == most:
            break
        voices += _read([recording], recording.speaker or "", sample_rate)
    return voices


def _read(recordings: "Sequence[Recording]", speaker: str, sample_rate: int) -> "list[Voice]":
    from moshi_zoo.data import audio
    from moshi_zoo.evaluation.voice_suite import Voice

    usable = [recording for recording in recordings if audio.probe(recording.path).sample_rate >= _LEAST_RATE]
    return [
        Voice(speaker, audio.load(recording.path, sample_rate, channels=1, seconds=_SECONDS)[0]) for recording in usable
    ]
