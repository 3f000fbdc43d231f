"""Makes the listener: synthetic speech in Moshi's voice and many others, and how to learn from it.

Most words come in an order that means nothing, so that the listener knows little of which one follows another; the rest
are sentences, in which words run into each other as they do in talk.
"""

import hashlib
import itertools
import json
import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import soxr
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moshi_zoo.data.cache import cache_folder, made_once
from moshi_zoo.data.dialogue import normalise_answer
from moshi_zoo.data.dialogue_audio_voices import MOSHI
from moshi_zoo.data.dialogue_tasks import DIGITS
from moshi_zoo.data.dialogues import dialogues
from moshi_zoo.data.espeak import Engine, Interval, Voice
from moshi_zoo.data.synthetic import TRAIN_SPEAKERS
from moshi_zoo.evaluation.listener import FRAME_S, LISTENING_RATE, MEL_FRAMES, NOTHING_SAID, Listener

_VERSION = 1  # of this file's output: change it with anything that changes a listener
_MOSHI_SHARE = 0.5
_RATES, _PITCHES, _RANGES = (145, 185), (40, 60), (40, 60)  # of the voices
_PUNCTUATION = (*[""] * 8, ",", ".")
_FLAT_SHARE, _SENTENCE_SHARE = 0.4, 0.3  # of the rows
_SILENCE_S = (0.1, 0.6)  # around a row
_MIDDLE = 0.25  # of a word's length to either side of its middle is its own
_NOISE_DB, _EQUALISER_DB, _EQUALISER_WAVES, _MASKED_BANDS = (8.0, 45.0), 6.0, 4, 6
_STRESS = "',"  # espeak's marks before a phoneme: stress makes no other word
_LEARNING_RATE, _SMOOTHING = 3e-3, 0.05


@dataclass(frozen=True)
class Plan:
    """How much to learn.

    Args:
        num_dialogues: the words come from so many dialogues.
        num_rows: rows of words that are spoken.
        epochs: passes over them.
        batch_size: rows at once.
        seed: of all draws.
    """

    num_dialogues: int = 4000
    num_rows: int = 3600
    epochs: int = 10
    batch_size: int = 32
    seed: int = 0


@dataclass(frozen=True)
class Row:
    """Words that are spoken: waveform [S] at the listener's rate, and when."""

    wav: Tensor
    words: list[Interval]


def cached_listener(plan: Plan | None = None, *, tell: Callable[[str], None] = lambda what: None) -> Listener:
    """The listener, made at first use (four minutes on one core) and kept in the cache.

    Raises:
        ValueError: if espeak-ng is not installed.
    """
    plan = plan or Plan()
    settings = json.dumps([_VERSION, repr(plan), repr(MOSHI), TRAIN_SPEAKERS])
    name = f"listener-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"

    def make(folder: Path) -> None:
        tell("training the listener (once)")
        train_listener(plan).save(folder)

    return Listener.load(made_once(cache_folder() / name, make))


def train_listener(plan: Plan) -> Listener:
    """Make a listener; torch's own generator is left alone."""
    engine, rng = Engine(), random.Random(plan.seed)
    texts = [
        normalise_answer(turn.text).split()
        for dialogue in islice(dialogues(plan.seed), plan.num_dialogues)
        for turn in dialogue.turns
        if turn.text
    ]
    words = sorted({word for text in texts for word in text})
    sound = sounds_alike(words, engine)
    names = [word for word in words if word not in sound]
    rows = (spoken_row(_drawn(texts, words, rng), _voice(rng), engine, rng) for _ in range(plan.num_rows))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        listener = Listener(names, sound)
        fit(listener, rows, plan)
    return listener.eval()


def sounds_alike(words: Sequence[str], engine: Engine) -> dict[str, str]:
    """Words that sound like another one of these -> that one, a digit if there is one: to -> two, write -> right."""
    first: dict[tuple[str, ...], str] = {}
    alike = {}
    for word in sorted(words, key=lambda word: (word not in DIGITS, word)):
        phonemes = tuple(phoneme.text.strip(_STRESS) for phoneme in engine.synthesize(word, MOSHI).phonemes)
        if first.setdefault(phonemes, word) != word:
            alike[word] = first[phonemes]
    return alike


def spoken_row(words: Sequence[str], voice: Voice, engine: Engine, rng: random.Random) -> Row:
    """Speak words, with silence around them."""
    said = engine.synthesize(" ".join(word + rng.choice(_PUNCTUATION) for word in words), voice)
    before, after = (rng.uniform(*_SILENCE_S) for _ in range(2))
    wav = soxr.resample(said.wav.numpy(), said.sample_rate, LISTENING_RATE, quality="HQ")
    wav = np.pad(wav, (round(before * LISTENING_RATE), round(after * LISTENING_RATE)))
    placed = [Interval(word.text, word.start_s + before, word.end_s + before) for word in said.words]
    return Row(torch.from_numpy(wav.astype(np.float32)), [part for word in placed for part in _parts(word)])


def _parts(said: Interval) -> list[Interval]:
    """The words of what espeak speaks as one ("it is"), each with its share of the time by its letters."""
    words = normalise_answer(said.text).split()
    ends = list(itertools.accumulate(len(word) for word in words))
    scale = (said.end_s - said.start_s) / max(ends, default=1)
    places = [said.start_s + end * scale for end in (0, *ends)]
    return [Interval(word, *place) for word, place in zip(words, itertools.pairwise(places), strict=True)]


def targets(row: Row, listener: Listener, num_frames: int) -> Tensor:
    """The word whose middle each frame is in, int64 [T]; :data:`NOTHING_SAID` in all others."""
    classes = torch.full((num_frames,), NOTHING_SAID)
    for word in row.words:
        name = listener.heard_as(word.text)
        if name not in listener.words:
            continue
        middle, length = (word.start_s + word.end_s) / 2, word.end_s - word.start_s
        first, last = (math.floor((middle + side * _MIDDLE * length) / FRAME_S) for side in (-1, 1))
        classes[first : max(last, first + 1)] = 1 + listener.words.index(name)
    return classes


def _drawn(texts: Sequence[Sequence[str]], words: Sequence[str], rng: random.Random) -> list[str]:
    """Words of a row: any words, as often each; words of sentences in any order; or a sentence."""
    if (lot := rng.random()) < _FLAT_SHARE:
        return rng.sample(words, rng.randint(2, 6))
    if lot > 1 - _SENTENCE_SHARE:
        return list(rng.choice(texts))
    drawn = [word for text in rng.sample(texts, 2) for word in text][:8]
    return rng.sample(drawn, len(drawn))


def _voice(rng: random.Random) -> Voice:
    language, _, variant = (MOSHI.name if rng.random() < _MOSHI_SHARE else rng.choice(TRAIN_SPEAKERS)).partition("+")
    return Voice(language, variant, *(rng.randint(*span) for span in (_RATES, _PITCHES, _RANGES)))


def fit(listener: Listener, rows: Iterable[Row], plan: Plan) -> None:
    """Teach a listener what is said in rows; their sound is not kept."""
    spectra, classes = [], []
    for row in rows:
        with torch.no_grad():
            spectra.append(listener.spectrum(row.wav))
        classes.append(targets(row, listener, spectra[-1].shape[1] // MEL_FRAMES))
    by_length = sorted(range(len(spectra)), key=lambda i: spectra[i].shape[1])
    batches = [by_length[i : i + plan.batch_size] for i in range(0, len(by_length), plan.batch_size)]
    optimizer = torch.optim.AdamW(listener.parameters(), lr=_LEARNING_RATE, weight_decay=1e-2)
    total = plan.epochs * len(batches)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=total, pct_start=0.2)
    generator = torch.Generator().manual_seed(plan.seed)
    listener.train()
    for _ in range(plan.epochs):
        for number in torch.randperm(len(batches), generator=generator).tolist():
            batch = batches[number]
            heard = _padded([augmented(spectra[i], generator) for i in batch], 0.0)
            wanted = _padded([classes[i] for i in batch], NOTHING_SAID)
            loss = F.cross_entropy(listener(heard), wanted, label_smoothing=_SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(listener.parameters(), 1.0)
            optimizer.step()
            schedule.step()


def augmented(spectrum: Tensor, generator: torch.Generator) -> Tensor:
    """Mel magnitudes [M, T] through another microphone, with noise, and without a few bands."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.empty(shape).uniform_(low, high, generator=generator)

    num_mels = len(spectrum)
    place = torch.linspace(0, 1, num_mels)
    order = torch.arange(1, _EQUALISER_WAVES + 1)[:, None]
    curves = [
        (uniform(-_EQUALISER_DB, _EQUALISER_DB, _EQUALISER_WAVES, 1) * torch.cos(math.pi * order * place)).sum(0)
        for _ in range(2)
    ]
    gains, colour = (10 ** (curve / 20) for curve in curves)
    noise = uniform(0.3, 1.0, *spectrum.shape) * colour[:, None] * 10 ** (-uniform(*_NOISE_DB) / 20)
    heard = ((spectrum * gains[:, None]).square() + noise.square()).sqrt()
    first = int(uniform(0, num_mels - _MASKED_BANDS))
    heard[first : first + int(uniform(0, _MASKED_BANDS + 1))] = 0
    return heard


def _padded(rows: Sequence[Tensor], value: float) -> Tensor:
    T = max(row.shape[-1] for row in rows)
    return torch.stack([F.pad(row, (0, T - row.shape[-1]), value=value) for row in rows])
