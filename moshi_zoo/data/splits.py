"""Who trains and who validates: by the manifest's word, else by speaker, else by file, else by cutting a file."""

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moshi_zoo.data.manifest import Recording

_LARGEST_GROUP = 0.2  # of all audio: nobody wants to give up more than this for validation


@dataclass(frozen=True)
class Span:
    """A stretch of a file, in seconds."""

    path: Path
    start: float
    duration: float


@dataclass
class Splits:
    """The audio of each split."""

    train: list[Span] = field(default_factory=list)
    valid: list[Span] = field(default_factory=list)
    test: list[Span] = field(default_factory=list)


def split(recordings: Sequence[Recording], *, validation_share: float, seed: int) -> Splits:
    """Divide recordings into training, validation and test audio.

    What the manifest says holds; recordings that it says nothing about train. Without ``valid`` recordings the ``test``
    ones validate. Without either a share of the training audio is held out: whole speakers where that is possible,
    else whole files, else the end of the longest file.

    Args:
        recordings: With their durations.
        validation_share: Share of the training audio to hold out where nothing is marked, up to 0.5.
        seed: Decides who is held out.
    """
    marked = defaultdict(list)
    for recording in recordings:
        marked[recording.split or "train"].append(recording)
    valid = marked["valid"] or marked["test"]
    result = Splits(_spans(marked["train"]), _spans(valid), _spans(marked["test"] or valid))
    if not valid and marked["train"]:
        result.train, result.valid = _hold_out(marked["train"], validation_share, seed)
        result.test = result.valid
    return result


def _hold_out(recordings: list[Recording], share: float, seed: int) -> tuple[list[Span], list[Span]]:
    speakers, files = [r.speaker or r.path for r in recordings], [r.path for r in recordings]
    for groups in (speakers, files):
        held = _choose([(group, _seconds(r)) for group, r in zip(groups, recordings, strict=True)], share, seed)
        if held:
            train = [r for group, r in zip(groups, recordings, strict=True) if group not in held]
            valid = [r for group, r in zip(groups, recordings, strict=True) if group in held]
            return _spans(train), _spans(valid)
    spans = sorted(_spans(recordings), key=lambda span: span.duration)
    longest = spans.pop()
    tail = min(share * sum(map(_seconds, recordings)), longest.duration / 2)
    kept = longest.duration - tail
    return [*spans, Span(longest.path, 0.0, kept)], [Span(longest.path, kept, tail)]


def _choose(sizes: list[tuple[Hashable, float]], share: float, seed: int) -> set[Hashable]:
    """Groups that make up a share of all audio, none of them too large to lose; they may be none."""
    groups: dict[Hashable, float] = defaultdict(float)
    for group, seconds in sizes:
        groups[group] += seconds
    total, held, taken = sum(groups.values()), set(), 0.0
    largest = min(max(2 * share, _LARGEST_GROUP), 0.5) * total
    for group in sorted(groups, key=lambda group: _lot(group, seed)):
        if taken >= share * total:
            break
        if taken + groups[group] <= largest:
            held.add(group)
            taken += groups[group]
    return held


def _lot(group: Hashable, seed: int) -> bytes:
    name = "/".join(group.parts[-2:]) if isinstance(group, Path) else group  # the same lot wherever the folder lies
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()


def _spans(recordings: Sequence[Recording]) -> list[Span]:
    return [Span(recording.path, 0.0, _seconds(recording)) for recording in recordings]


def _seconds(recording: Recording) -> float:
    assert recording.duration is not None, "survey() fills it in"
    return recording.duration
