"""Written dialogues become two-channel speech with exact word times: Moshi in channel 0, the user in channel 1."""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import soxr
import torch
from torch import Tensor

from moshi_zoo.data.alignments import MAIN, OTHER, Word
from moshi_zoo.data.augment import Noises, UserAugmentation, Wav, augmented_user, room_tone
from moshi_zoo.data.dialogue import Dialogue, Turn
from moshi_zoo.data.dialogue_audio_timing import REPLY_S, schedule
from moshi_zoo.data.dialogue_audio_voices import Talker
from moshi_zoo.data.espeak import Interval, Utterance

SAMPLE_RATE = 24_000
"""Of the dialogues in Hz: Mimi's."""

ROOM_TONE_DB = (-72.0, -52.0)
"""Of both channels, RMS below full scale. Without it, silence would be one frame of codes that a model copies. From the
background of clean recordings, which codecs are trained on (-78 to -66), up to that of a noisy room."""

_SPEECH_DB = -24.0  # RMS of Moshi's speech
_USER_DB = (-4.0, 4.0)  # users' beside it
_PEAK = 0.97
_SPEAKERS = {"moshi": MAIN, "user": OTHER}


@dataclass(frozen=True)
class SpokenDialogue:
    """A dialogue as it sounds.

    Args:
        wav: float32 [2, S] at :data:`SAMPLE_RATE`: Moshi, user.
        words: What both say when, in order of time.
        turns: Each turn as in the dialogue, with ``start_s`` and ``end_s``.
    """

    wav: Tensor
    words: list[Word]
    turns: list[dict[str, Any]]

    @property
    def duration(self) -> float:
        """In seconds."""
        return self.wav.shape[1] / SAMPLE_RATE


def speak(
    dialogue: Dialogue,
    *,
    moshi: Talker,
    user: Talker,
    augmentation: UserAugmentation | None,
    noises: Noises,
    rng: random.Random,
    reply_s: float = REPLY_S,
) -> SpokenDialogue:
    """Speak a dialogue.

    Args:
        dialogue: What is said.
        moshi: Speaks Moshi's turns.
        user: Speaks the user's turns, at the same sample rate.
        augmentation: What is done to the user's channel. None: nothing.
        noises: For the augmentation.
        rng: Source of all draws.
        reply_s: Time that Moshi takes to reply, in the mean.
    """
    talkers = {"moshi": moshi, "user": user}
    spoken = [_speech(talkers[turn.speaker], turn) for turn in dialogue.turns]
    durations = [_duration(utterance) for utterance in spoken]
    starts, seconds = schedule(dialogue.turns, durations, rng, reply_s=reply_s)
    levels = {"moshi": _SPEECH_DB, "user": _SPEECH_DB + rng.uniform(*_USER_DB)}
    mouths = {who: _mixed(dialogue.turns, spoken, starts, seconds, who, level) for who, level in levels.items()}
    heard = mouths["user"]
    if augmentation:
        heard = augmented_user(heard, mouths["moshi"], SAMPLE_RATE, settings=augmentation, noises=noises, rng=rng)
    tones = [room_tone(len(heard), rng.uniform(*ROOM_TONE_DB), rng) for _ in range(2)]
    wav = np.stack([_quietened(mouths["moshi"] + tones[0]), _quietened(heard + tones[1])])  # [2, S]
    words = [
        Word(word.text, start + word.start_s, start + word.end_s, _SPEAKERS[turn.speaker])
        for turn, utterance, start in zip(dialogue.turns, spoken, starts, strict=True)
        if utterance
        for word in _from_zero(utterance.words)
    ]
    turns = [
        {**asdict(turn), "start_s": round(start, 4), "end_s": round(start + duration, 4)}
        for turn, start, duration in zip(dialogue.turns, starts, durations, strict=True)
    ]
    return SpokenDialogue(torch.from_numpy(wav), sorted(words, key=lambda word: (word.start_s, word.end_s)), turns)


def _speech(talker: Talker, turn: Turn) -> Utterance | None:
    return talker.say(turn.text) if turn.text else None


def _duration(utterance: Utterance | None) -> float:
    """From the first word to the end of the last: what comes after it is silence."""
    return utterance.words[-1].end_s - utterance.words[0].start_s if utterance else 0.0


def _from_zero(words: Sequence[Interval]) -> list[Interval]:
    begin = words[0].start_s
    return [Interval(word.text, word.start_s - begin, word.end_s - begin) for word in words]


def _mixed(
    turns: Sequence[Turn],
    spoken: Sequence[Utterance | None],
    starts: Sequence[float],
    seconds: float,
    who: str,
    level_db: float,
) -> Wav:
    """All that one of the two says, [S] at :data:`SAMPLE_RATE`, each turn at the same RMS level."""
    mixed = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    for turn, utterance, start in zip(turns, spoken, starts, strict=True):
        if utterance and turn.speaker == who:
            wav = utterance.wav[round(utterance.words[0].start_s * utterance.sample_rate) :].numpy()
            wav = soxr.resample(wav, utterance.sample_rate, SAMPLE_RATE, quality="HQ")
            begin = round(start * SAMPLE_RATE)
            wav = wav[: len(mixed) - begin]
            mixed[begin : begin + len(wav)] += wav * (10 ** (level_db / 20) / max(_level(wav), 1e-5))
    return mixed


def _level(wav: Wav) -> float:
    return float(np.sqrt(np.mean(np.square(wav))))


def _quietened(wav: Wav) -> Wav:
    """Turned down if it would clip."""
    return (wav * min(1.0, _PEAK / max(float(np.abs(wav).max()), 1e-5))).astype(np.float32)
