"""The ASR suite: what a Moshi in its listening mode writes down of held-out users (Moshi paper 5.7)."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from moshi_zoo.data.alignments import MAIN, Word
from moshi_zoo.data.dialogue_windows import Place
from moshi_zoo.evaluation.duplex_conversations import name_of
from moshi_zoo.evaluation.measured import Measured, figures_of
from moshi_zoo.evaluation.measurement import Figure
from moshi_zoo.evaluation.recognition import LISTENING, recognition
from moshi_zoo.runtime.conversations import Conversations
from moshi_zoo.runtime.settings import TalkSettings
from moshi_zoo.runtime.transcription import Transcript, transcribe

ALL = "all"
"""The group of all recordings."""

_TAIL_S = 0.5  # heard after the last word could be written


@dataclass(frozen=True)
class AsrSettings:
    """How to measure.

    Args:
        text_delay_s: how long after its sound the model learnt to write a word.
        temperature: of the text; 0 takes the likeliest.
        batch_size: streams at once.
        resamples: for the intervals.
        seed: of all draws.
    """

    text_delay_s: float = 0.64
    temperature: float = 0.0
    batch_size: int = 32
    resamples: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class AsrRow:
    """A recording and what was written.

    Args:
        name: of the dialogue.
        voice: who speaks.
        said: reference, normalised.
        heard: transcript, normalised.
        measured: the measures.
    """

    name: str
    voice: str
    said: str
    heard: str
    measured: Measured


@dataclass(frozen=True)
class AsrReport:
    """What was measured.

    Args:
        settings: how.
        groups: :data:`ALL`, and each voice -> figures.
        rows: of each recording.
        seconds: of sound.
        took: seconds.
    """

    settings: AsrSettings
    groups: dict[str, list[Figure]]
    rows: list[AsrRow]
    seconds: float
    took: float


def evaluate_asr(
    conversations: Conversations,
    places: Sequence[Place],
    settings: AsrSettings,
    *,
    tell: Callable[[str, int], None] = lambda what, total: None,
    step: Callable[[], None] = lambda: None,
) -> AsrReport:
    """Let a model write down what the users of dialogues say.

    Args:
        conversations: rows for as many streams as are wanted at once; has the model.
        places: the dialogues.
        settings: how.
        tell: is told what begins, and how many steps it has.
        step: is called after each step.

    Raises:
        ValueError: if there are no words to compare with.
    """
    spoken = [place for place in places if _user_words(place)]
    if not spoken:
        raise ValueError("in these dialogues nobody says a known word to be recognised")
    began = time.perf_counter()
    tell("listening", len(spoken))
    K = conversations.moshi.num_user_codebooks
    transcripts = transcribe(
        conversations,
        [_heard(place, K, settings.text_delay_s + _TAIL_S) for place in spoken],
        text_delay_s=settings.text_delay_s,
        settings=TalkSettings(text_temperature=settings.temperature, seed=settings.seed, mode="asr"),
        on_done=lambda number: step(),
    )
    rows = [_row(place, transcript) for place, transcript in zip(spoken, transcripts, strict=True)]
    voices = sorted({row.voice for row in rows})
    members = {ALL: rows, **{voice: [row for row in rows if row.voice == voice] for voice in voices}}
    return AsrReport(
        settings,
        groups={
            name: figures_of([row.measured for row in some], resamples=settings.resamples, seed=settings.seed)
            for name, some in members.items()
        },
        rows=rows,
        seconds=sum(place.num_frames / place.store.codec.frame_rate for place in spoken),
        took=time.perf_counter() - began,
    )


def _user_words(place: Place) -> list[Word]:
    return [word for word in place.store.words(place.number) or [] if word.speaker != MAIN]


def _heard(place: Place, num_codebooks: int, tail_s: float) -> Tensor:
    """The user's codes [K, T], with room tone until the last word can be written."""
    user = place.store.codes(place.number)[-1, :num_codebooks]
    return torch.cat([user, place.room_tone(round(tail_s * place.store.codec.frame_rate))[-1, :num_codebooks]], dim=1)


def _row(place: Place, transcript: Transcript) -> AsrRow:
    frame_rate = place.store.codec.frame_rate
    found = recognition(_user_words(place), transcript.words, frame_rate=frame_rate, measures=LISTENING)
    about = place.store.about(place.number)
    return AsrRow(
        name=name_of(place),
        voice=about.get("voices", {}).get("user", "unknown"),
        said=found.said,
        heard=found.heard,
        measured=found.measured,
    )
