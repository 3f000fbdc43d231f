"""From a source of recordings to the clips that an evaluation takes."""

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from moshi_zoo.data import audio, synthetic
from moshi_zoo.data.audio import AudioError
from moshi_zoo.data.manifest import Recording, find
from moshi_zoo.data.survey import BadFile, BadFiles, survey
from moshi_zoo.evaluation.measurement import Clip, Segment
from moshi_zoo.evaluation.recogniser import Example

Split = Literal["train", "valid", "test", "all"]
Labels = Literal["words", "phonemes"]

_NOT_SPEECH = ("noise", "rir")
_MIN_SECONDS = 0.1
_MAX_BAD_SHARE = 0.1
_STAND_INS = {"test": "valid", "valid": "test"}  # a corpus often marks only one of them
_EDGES = re.compile(r"^\W+|\W+$")
_STRESS = "',"  # espeak's marks before a phoneme: stress is not another sound


@dataclass(frozen=True)
class Chosen:
    """Recordings to evaluate.

    Args:
        recordings: with their durations, in the order of the source.
        split: whose they are: the one asked for, its stand-in, or ``all`` where nothing is marked.
        bad: account of the files that cannot be used.
    """

    recordings: list[Recording]
    split: str
    bad: BadFiles


def choose(source: str, split: Split, *, max_items: int | None, seed: int, report: Path | None = None) -> Chosen:
    """Find the recordings of a split.

    Args:
        source: a manifest, a folder, an audio file, or ``synthetic``.
        split: which; test and valid stand in for each other, and where nothing is marked everything is taken.
        max_items: take so many, drawn at random; None: all.
        seed: of the draw.
        report: where to list the files that cannot be used.

    Raises:
        ValueError: if there is nothing to take, or a tenth of it cannot be used.
    """
    if max_items is not None and max_items < 1:
        raise ValueError(f"max_items is {max_items}; evaluate at least one recording")
    found = find(synthetic.prepare() if source == "synthetic" else source)
    speech = [recording for recording in found if recording.kind not in _NOT_SPEECH]
    marked = {recording.split for recording in speech if recording.split}
    if split == "all" or not marked:
        taken, named = speech, "all"
    else:
        named = split if split in marked else _STAND_INS.get(split, split)
        taken = [recording for recording in speech if recording.split == named]
        if not taken:
            raise ValueError(
                f"{source} marks no recording as {split}, only as {', '.join(sorted(marked))}: choose another --split"
            )
    if max_items is not None and max_items < len(taken):
        taken = [taken[i] for i in sorted(random.Random(seed).sample(range(len(taken)), max_items))]
    usable, unusable = survey(taken, min_seconds=_MIN_SECONDS)
    bad = BadFiles(len(taken), _MAX_BAD_SHARE, report)
    bad.add(unusable)
    if not usable:
        raise ValueError(f"{source} holds no speech that can be used ({len(found)} files, {len(unusable)} bad)")
    return Chosen(usable, named, bad)


def highest_hz(recordings: Iterable[Recording], sample_rate: int) -> float:
    """What all recordings contain: half the lowest sample rate among them and the codec's."""
    return min(sample_rate, *(audio.probe(recording.path).sample_rate for recording in recordings)) / 2


def clips(
    chosen: Chosen, sample_rate: int, *, labels: Labels, max_seconds: float, step: Callable[[], None]
) -> Iterator[Clip]:
    """Read the recordings one after another; one that turns out bad is noted and left out.

    Args:
        chosen: which.
        sample_rate: of the codec, in Hz.
        labels: which labelled stretches to take along.
        max_seconds: longer recordings are cut.
        step: called after each.
    """
    for recording in chosen.recordings:
        try:
            wav = audio.load(recording.path, sample_rate, channels=1, seconds=max_seconds)[0]  # [S]
        except AudioError as error:
            chosen.bad.add([BadFile(recording.path, f"{error.problem}; {error.fix}")])
        else:
            segments = tuple(s for s in _segments(recording, labels) if s.end_s <= len(wav) / sample_rate + 0.01)
            yield Clip(str(recording.path), wav, recording.speaker, _only_word(recording), segments)
        step()


def examples(recordings: Sequence[Recording], sample_rate: int) -> list[Example]:
    """The clips of a single word, to train a recogniser on.

    Raises:
        ValueError: if there are none.
    """
    words = [(recording, word) for recording in recordings if (word := _only_word(recording))]
    if not words:
        raise ValueError("the recogniser's data has no recording whose `text` is a single word")
    return [Example(audio.load(recording.path, sample_rate, channels=1)[0], word) for recording, word in words]


def _segments(recording: Recording, labels: Labels) -> Iterator[Segment]:
    """``[label, start_s, end_s]`` and perhaps a speaker (a number there is a channel)."""
    for entry in getattr(recording, labels, None) or ():
        try:
            label, start, end, *rest = entry
            start, end = float(start), float(end)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{recording.path}: {entry!r} in its {labels} is not [label, start in seconds, end in seconds]"
            ) from error
        label = str(label).strip(_STRESS) if labels == "phonemes" else _plain(str(label))
        if label and end > start:
            yield Segment(label, start, end, rest[0] if rest and isinstance(rest[0], str) else None)


def _only_word(recording: Recording) -> str | None:
    words = (recording.text or "").split()
    return _plain(words[0]) or None if len(words) == 1 else None


def _plain(word: str) -> str:
    """In lower case, without punctuation around it."""
    return _EDGES.sub("", word.lower())
