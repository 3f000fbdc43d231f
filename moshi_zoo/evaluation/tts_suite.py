"""The TTS suite: is what a Moshi in its reading mode says understood, and does it read slower when it is asked to?"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from moshi_zoo.data.dialogue_tasks import DIGITS
from moshi_zoo.data.dialogue_windows import Place
from moshi_zoo.data.turn_statistics import Span
from moshi_zoo.evaluation.answers import common_words
from moshi_zoo.evaluation.bootstrap import interval_of, resampled_counts
from moshi_zoo.evaluation.listener import Listener
from moshi_zoo.evaluation.measured import Measured, figures_of, share
from moshi_zoo.evaluation.measurement import SHARE, Figure, Measure, Value
from moshi_zoo.evaluation.script import timed_turns
from moshi_zoo.evaluation.voice_activity import speech_spans
from moshi_zoo.models.mimi import Mimi
from moshi_zoo.runtime.conversations import Conversations
from moshi_zoo.runtime.settings import TalkSettings
from moshi_zoo.runtime.speech import speak

_AROUND_S = 0.15  # of a turn in the dialogue, that its first and last sounds be whole

_WORDS = Measure("words_heard", "words heard in the sound", SHARE)
_DIGITS = Measure("digits_heard", "digits heard in the sound", SHARE)
_WHOLE = Measure("texts_heard", "texts heard without a fault", SHARE)
_RATE = Measure("speaking_rate", "speaking rate", "words/s", "neither")
_CORRELATION = Measure("rate_control", "correlation of padding bonus and seconds a word", "", "higher")


@dataclass(frozen=True)
class TtsSettings:
    """How to measure.

    Args:
        text_delay_s: how long before its sound the model learnt to write a word.
        talk: how it draws; ``mode`` and padding bonus are set here.
        bonuses: of PAD, each of which all texts are read with; 0 is the one that the words are heard of.
        resamples: for the intervals.
        num_examples: texts whose sound is kept.
    """

    text_delay_s: float = 0.4
    talk: TalkSettings = field(default_factory=TalkSettings)
    bonuses: tuple[float, ...] = (0.0, 1.0, 2.0)
    resamples: int = 1000
    num_examples: int = 10


@dataclass(frozen=True)
class TtsRow:
    """A text and how it was read.

    Args:
        text: that was given.
        heard: words that the listener hears.
        seconds_a_word: padding bonus -> from the first sound to the last, by the number of words.
        said: the measures.
        written: the same of the dialogue that the text comes from, decoded from its codes.
        wav: of an example, [S].
    """

    text: str
    heard: str
    seconds_a_word: dict[float, float]
    said: Measured
    written: Measured
    wav: Tensor | None = None


@dataclass(frozen=True)
class TtsReport:
    """What was measured.

    Args:
        settings: how.
        said: figures of what was read.
        written: the same of the dialogues: what the codec and the listener let be heard at best.
        rows: of each text.
        took: seconds.
    """

    settings: TtsSettings
    said: list[Figure]
    written: list[Figure]
    rows: list[TtsRow]
    took: float


@dataclass(frozen=True)
class Text:
    """What is to be read, and Moshi's codes [K, T] in which a dialogue says it."""

    text: str
    codes: Tensor


def texts_of(places: Sequence[Place], limit: int | None) -> list[Text]:
    """Moshi's turns of dialogues, each text once, without backchannels and what is broken off.

    Args:
        places: the dialogues.
        limit: the first so many; None: all.
    """
    found: dict[str, Text] = {}
    for place in places:
        frame_rate = place.store.codec.frame_rate
        turns = timed_turns(place.store.about(place.number))
        for turn, following in zip(turns, [*turns[1:], None], strict=True):
            interrupted = following is not None and following.overlap == "interrupts"
            if turn.speaker != "moshi" or not turn.holds_floor or turn.text in found or interrupted:
                continue
            first, last = (round(s * frame_rate) for s in (turn.start_s - _AROUND_S, turn.end_s + _AROUND_S))
            found[turn.text] = Text(turn.text, place.store.codes(place.number, max(first, 0), last + 1)[0])
    return list(found.values())[:limit]


def evaluate_tts(
    conversations: Conversations,
    codec: Mimi,
    listener: Listener,
    texts: Sequence[Text],
    settings: TtsSettings,
    *,
    tell: Callable[[str, int], None] = lambda what, total: None,
    step: Callable[[], None] = lambda: None,
) -> TtsReport:
    """Let a model read texts aloud, and listen to it.

    Args:
        conversations: rows for as many texts as are wanted at once; has the model, and no codec.
        codec: of its voice, on the same device.
        listener: names the words.
        texts: what is to be read.
        settings: how.
        tell: is told what begins, and how many steps it has.
        step: is called after each step.

    Raises:
        ValueError: if there is nothing to read.
    """
    if not texts:
        raise ValueError("in these dialogues Moshi says nothing that could be read aloud")
    began = time.perf_counter()
    bonuses = sorted({0.0, *settings.bonuses})
    tell("reading aloud", len(bonuses) * len(texts))
    read = {bonus: _read(conversations, texts, settings, bonus, step) for bonus in bonuses}
    tell("listening", len(texts))
    rows = []
    for i, text in enumerate(texts):
        sounds = {bonus: _decoded(codec, codes[i]) for bonus, codes in read.items()}
        rows.append(_row(text, sounds, codec, listener, keep=i < settings.num_examples))
        step()
    resampling = {"resamples": settings.resamples, "seed": settings.talk.seed}
    said = figures_of([row.said for row in rows], **resampling)
    return TtsReport(
        settings,
        [*said, *_rate_figures(rows, **resampling)],
        figures_of([row.written for row in rows], **resampling),
        rows,
        time.perf_counter() - began,
    )


def _read(
    conversations: Conversations, texts: Sequence[Text], settings: TtsSettings, bonus: float, step: Callable[[], None]
) -> list[Tensor]:
    """Codes of each text [K, T]."""
    talk = settings.talk
    each = [
        TalkSettings(
            *(talk.text_temperature, talk.text_top_k, talk.audio_temperature, talk.audio_top_k),
            padding_bonus=bonus,
            seed=talk.seed + i,
            mode="tts",
        )
        for i in range(len(texts))
    ]
    spoken = speak(
        conversations,
        [text.text for text in texts],
        text_delay_s=settings.text_delay_s,
        settings=each,
        on_done=lambda number: step(),
    )
    return [speech.codes for speech in spoken]


@torch.inference_mode()
def _decoded(codec: Mimi, codes: Tensor) -> Tensor:
    return codec.decode(codes[None].clamp(min=0))[0, 0].cpu()


def _row(text: Text, sounds: dict[float, Tensor], codec: Mimi, listener: Listener, *, keep: bool) -> TtsRow:
    words = listener.heard_as(text.text).split()
    lengths = {bonus: _spoken_s(speech_spans(wav, codec.sample_rate)) / len(words) for bonus, wav in sounds.items()}
    as_written = _decoded(codec, text.codes.to(next(codec.parameters()).device))
    of_both = []
    for wav in (sounds[0.0], as_written):
        heard = [word.text for word in listener.hear(wav, codec.sample_rate)]
        of_both.append((heard, _measured(words, heard, listener, speech_spans(wav, codec.sample_rate))))
    (heard, said), (_, written) = of_both
    return TtsRow(text.text, " ".join(heard), lengths, said, written, sounds[0.0] if keep else None)


def _measured(words: Sequence[str], heard: Sequence[str], listener: Listener, spans: Sequence[Span]) -> Measured:
    """Words that the listener does not know do not count."""
    known = [word for word in words if listener.knows(word)]
    names = [listener.heard_as(digit) for digit in DIGITS]
    digits = [word for word in known if word in names]
    spoken_s = _spoken_s(spans)
    return Measured(
        {
            _WORDS: share(common_words(known, heard), len(known)),
            _DIGITS: share(common_words(digits, [word for word in heard if word in names]), len(digits)),
            _WHOLE: Value(float(list(heard) == list(words)) if len(known) == len(words) else float("nan")),
            _RATE: Value(len(words) / spoken_s if spoken_s else float("nan"), spoken_s),
        }
    )


def _spoken_s(spans: Sequence[Span]) -> float:
    """From the first sound to the last; 0 in silence."""
    return spans[-1][1] - spans[0][0] if spans else 0.0


def _rate_figures(rows: Sequence[TtsRow], *, resamples: int, seed: int) -> list[Figure]:
    """How slow each padding bonus makes the reading, and how closely it follows."""
    bonuses = list(rows[0].seconds_a_word)
    seconds = np.array([[row.seconds_a_word[bonus] for bonus in bonuses] for row in rows])  # [N, bonuses]
    figures = figures_of(
        [
            Measured(
                {
                    Measure(f"seconds_a_word/{b:g}", f"seconds a word, padding bonus {b:g}", "s", "neither"): Value(s)
                    for b, s in row.seconds_a_word.items()
                }
            )
            for row in rows
        ],
        resamples=resamples,
        seed=seed,
    )
    if len(bonuses) < 2:
        return figures
    # each text beside itself: long words take longer whatever is asked for
    relative = seconds / np.maximum(seconds.mean(axis=1, keepdims=True), 1e-9)
    counts = resampled_counts(len(rows), resamples=resamples, seed=seed)
    whole = _correlation(np.array(bonuses), relative, np.ones((1, len(rows))))
    interval = interval_of(_correlation(np.array(bonuses), relative, counts))
    return [*figures, Figure(_CORRELATION, float(whole[0]), interval, len(rows))]


def _correlation(x: np.ndarray, y: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Pearson's, of x [M] with y [N, M] whose rows are there as often as counts [R, N] say -> [R]."""
    total = counts.sum(axis=1) * len(x)
    mean = (counts @ y).sum(axis=1) / total
    square = (counts @ y**2).sum(axis=1) / total
    product = (counts @ y) @ (x - x.mean()) / total
    with np.errstate(invalid="ignore", divide="ignore"):
        return product / np.sqrt((square - mean**2) * x.var())
