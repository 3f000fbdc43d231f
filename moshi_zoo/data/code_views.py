"""What of a recording is encoded: its channels as they are, both speakers in one, one against all others, or one alone.

Of the paper's stages (Moshi paper 4.4) pre-training hears everybody in one stream; the next one learns to listen and to
speak from recordings in which people share a channel, and which say who speaks when: the main speaker, drawn by lot,
becomes Moshi's stream, and all else the user's. Where both speak at once, the mask is Moshi's.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from moshi_zoo.data.alignments import MAIN, OTHER, Word
from moshi_zoo.data.augment import room_tone

View = Literal["recorded", "mono", "duplex", "monologue"]
"""``recorded``: the channels as they are; ``mono``: all of them mixed into one; ``duplex``: the main speaker in the
first channel, all else in the second; ``monologue``: what is there in the first channel, a quiet room in the second."""

_MARGIN_S = 0.1  # around words: their times are not exact
_SAME_TURN_S = 0.4  # a pause within a turn is at most so long
_ROOM_TONE_DB = (-72.0, -52.0)  # RMS of the listener's channel, dB below full scale


def to_mono(wav: Tensor) -> Tensor:
    """All channels in one: [C, S] -> [1, S]. The mean never clips."""
    return wav.mean(0, keepdim=True)


def choose_main_speaker(words: Sequence[Word], lot: str) -> list[Word]:
    """Make one of the speakers Moshi, and all others the user.

    Args:
        words: Of all, with the names of their speakers.
        lot: Decides; the same lot always decides alike.
    """
    speakers = sorted({word.speaker for word in words})
    main = random.Random(lot).choice(speakers) if speakers else MAIN
    return [replace(word, speaker=MAIN if word.speaker == main else OTHER) for word in words]


def turns(words: Iterable[Word], speaker: str = MAIN) -> list[tuple[float, float]]:
    """When a speaker speaks: start and end of each turn in seconds, in order."""
    found: list[tuple[float, float]] = []
    for word in sorted(words, key=lambda word: word.start_s):
        if word.speaker != speaker:
            continue
        start, end = max(word.start_s - _MARGIN_S, 0.0), word.end_s + _MARGIN_S
        if found and start - found[-1][1] <= _SAME_TURN_S - 2 * _MARGIN_S:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def separated(blocks: Iterable[Tensor], of_main: Sequence[tuple[float, float]], sample_rate: int) -> Iterator[Tensor]:
    """The main speaker's turns in one channel, all else in another: blocks [C, S] -> [2, S]."""
    place = 0
    for block in blocks:
        mono = to_mono(block)  # [1, S]
        mask = torch.zeros_like(mono)
        for start, end in of_main:
            mask[:, max(round(start * sample_rate) - place, 0) : max(round(end * sample_rate) - place, 0)] = 1
        yield torch.cat([mono * mask, mono * (1 - mask)])
        place += mono.shape[1]


def beside_a_listener(blocks: Iterable[Tensor], lot: str) -> Iterator[Tensor]:
    """Everything in one channel, and in another the room of somebody who says nothing: blocks [C, S] -> [2, S].

    Digital silence would not do: no microphone gives it, so that Moshi would take it for something of its own.

    Args:
        blocks: Of the recording.
        lot: Decides how quiet the room is; the same lot always decides alike.
    """
    rng = random.Random(lot)
    level_db = rng.uniform(*_ROOM_TONE_DB)
    for block in blocks:
        mono = to_mono(block)  # [1, S]
        yield torch.cat([mono, torch.from_numpy(room_tone(mono.shape[1], level_db, rng))[None]])
