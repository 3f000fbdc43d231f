"""The embedded corpus: sentences of our own grammar in many voices, made at first use and kept in a cache.

It stands in for recordings on a machine that has none: exact texts, word and phoneme times, and speakers, at hundreds
of times real time. Validation speakers are never heard in training. A faint room tone and differences of level keep it
from the digital silence that no recording has.
"""

import hashlib
import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soxr
import torch
from rich.console import Console
from rich.progress import Progress

from moshi_zoo.data import arpabet, audio
from moshi_zoo.data.cache import cache_folder, made_once
from moshi_zoo.data.espeak import Engine, Interval, Utterance, Voice
from moshi_zoo.data.sentences import sentence

TRAIN_SPEAKERS = (
    *("en-us+m1", "en-us+f1", "en-us+m3", "en-us+f2", "en-us+m7", "en-us+Annie", "en-us+Michael", "en-us+f4"),
    *("en-us+edward", "en-us+belinda", "en-us+adam", "en-us+grandma", "en-us-nyc+m2", "en-us-nyc+shelby"),
    *("en+m4", "en+f5", "en-gb-x-rp+m5", "en-gb-x-rp+linda", "en-gb-x-gbclan+boris", "en-gb-x-gbcwmd+aunty"),
    *("en-gb-scotland+m8", "en-gb-scotland+f1", "en-029+m7", "en-029+f2"),
)
VALID_SPEAKERS = ("en-us+m6", "en-us+f3", "en+max", "en-gb-x-rp+Alicia", "en-us+robert", "en-gb-scotland+Mario")

SAMPLE_RATE = 24_000
"""Of the files in Hz. espeak speaks at 22.05 kHz; at Mimi's rate a training run need not resample."""

_VERSION = 3  # of this file's output: change it with anything that changes a sample
_VALID_SHARE = 0.1
_FILE_SECONDS = 20.0
_ROOM_TONE_DB = (-78.0, -66.0)  # RMS, dB below full scale
_LEVEL_DB = (-6.0, 6.0)  # of a file
_SENTENCE_LEVEL_DB = (-2.0, 2.0)
_PAUSE_S = (0.1, 0.6)


def prepare(minutes: float = 40.0, *, seed: int = 0, cache: Path | None = None) -> Path:
    """Make the corpus unless it is there already; several processes may call this at once.

    Args:
        minutes: Length of all recordings together, about.
        seed: The same seed makes the same corpus, sample by sample.
        cache: Where to keep it. None: ``$MOSHI_ZOO_CACHE``, else ``~/.cache/moshi_zoo``.

    Returns:
        Its ``manifest.jsonl``, with ``path, duration, split, speaker, text, words, phonemes`` a line; phonemes in
        ARPAbet.

    Raises:
        ValueError: if espeak-ng is not installed.
    """
    if minutes <= 0:
        raise ValueError(f"synthetic speech of {minutes} minutes: ask for more than 0")
    settings = json.dumps([_VERSION, minutes, seed, TRAIN_SPEAKERS, VALID_SPEAKERS])
    name = f"synthetic-{minutes:g}min-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"
    folder = (cache or cache_folder()) / name
    made_once(folder, lambda draft: _make(draft, minutes, seed, shown_as=folder))
    return folder / "manifest.jsonl"


@dataclass
class _Recording:
    """A growing file: several sentences of one speaker."""

    sample_rate: int
    blocks: list[np.ndarray] = field(default_factory=list)
    num_samples: int = 0
    texts: list[str] = field(default_factory=list)
    words: list[Interval] = field(default_factory=list)
    phonemes: list[Interval] = field(default_factory=list)

    def pause(self, seconds: float) -> None:
        self._append(np.zeros(round(seconds * self.sample_rate), np.float32))

    def say(self, text: str, utterance: Utterance, gain: float) -> None:
        begin = self.num_samples / self.sample_rate
        self.texts.append(text)
        sounds = itertools.chain.from_iterable(map(_sounds, utterance.phonemes))
        for mine, its in ((self.words, utterance.words), (self.phonemes, sounds)):
            mine.extend(Interval(i.text, i.start_s + begin, i.end_s + begin) for i in its)
        self._append(utterance.wav.numpy() * gain)

    def _append(self, block: np.ndarray) -> None:
        self.blocks.append(block)
        self.num_samples += len(block)


def _make(folder: Path, minutes: float, seed: int, shown_as: Path) -> None:
    num_files = max(round(minutes * 60 / _FILE_SECONDS), 2)
    num_valid = max(round(num_files * _VALID_SHARE), 1)
    jobs = [
        (split, speakers[i % len(speakers)], i)
        for split, speakers, count in (
            ("train", TRAIN_SPEAKERS, num_files - num_valid),
            ("valid", VALID_SPEAKERS, num_valid),
        )
        for i in range(count)
    ]
    engine = Engine()  # a new one: what was said before in this process would show in the samples
    console = Console(stderr=True)
    progress = Progress(console=console, transient=True, disable=not console.is_terminal)
    with progress, (folder / "manifest.jsonl").open("w", encoding="utf-8") as manifest:
        for split, speaker, i in progress.track(jobs, description=f"making synthetic speech in {shown_as} (once)"):
            recording = _speak(engine, speaker, random.Random(f"{seed}/{split}/{i}"))
            path = Path(split) / f"{i:04d}-{speaker}.flac"
            (folder / path).parent.mkdir(exist_ok=True)
            wav = _in_a_room(recording, np.random.default_rng([seed, i, split == "valid"]))  # [S]
            audio.save(folder / path, torch.from_numpy(wav)[None], SAMPLE_RATE)
            line = {
                "path": path.as_posix(),
                "duration": round(recording.num_samples / recording.sample_rate, 4),
                "split": split,
                "speaker": speaker,
                "text": " ".join(recording.texts),
                "words": list(_rounded(recording.words)),
                "phonemes": list(_rounded(recording.phonemes)),
            }
            manifest.write(json.dumps(line, ensure_ascii=False) + "\n")


def _speak(engine: Engine, speaker: str, rng: random.Random) -> _Recording:
    language, _, variant = speaker.partition("+")
    voice = Voice(
        language,
        variant,
        rate=rng.randint(140, 195),
        pitch=rng.randint(35, 65),
        pitch_range=rng.randint(40, 70),
    )
    recording = _Recording(engine.sample_rate)
    recording.pause(rng.uniform(*_PAUSE_S))
    while recording.num_samples < _FILE_SECONDS * recording.sample_rate:
        text = sentence(rng)
        recording.say(text, engine.synthesize(text, voice), _gain(rng.uniform(*_SENTENCE_LEVEL_DB)))
        recording.pause(rng.uniform(*_PAUSE_S))
    return recording


def _in_a_room(recording: _Recording, rng: np.random.Generator) -> np.ndarray:
    speech = np.concatenate(recording.blocks) * _gain(rng.uniform(*_LEVEL_DB))
    speech = soxr.resample(speech, recording.sample_rate, SAMPLE_RATE, quality="HQ")
    hiss = rng.standard_normal(len(speech) + 1, dtype=np.float32)
    tone = (hiss[1:] + hiss[:-1]) / np.sqrt(2, dtype=np.float32)  # darker than white, RMS 1
    mixed = speech + tone * _gain(rng.uniform(*_ROOM_TONE_DB))
    return (mixed / max(1.0, np.abs(mixed).max() / 0.95)).astype(np.float32)


def _gain(decibels: float) -> float:
    return 10 ** (decibels / 20)


def _rounded(intervals: list[Interval]) -> Iterator[tuple[str, float, float]]:
    return ((i.text, round(i.start_s, 4), round(i.end_s, 4)) for i in intervals)


def _sounds(phoneme: Interval) -> Iterator[Interval]:
    """A phoneme of espeak's as ARPAbet has it: two sounds share its time."""
    names = arpabet.from_espeak(phoneme.text)
    length = (phoneme.end_s - phoneme.start_s) / max(len(names), 1)
    for i, name in enumerate(names):
        yield Interval(name, phoneme.start_s + i * length, phoneme.start_s + (i + 1) * length)
