"""The duplex suite: conversations with held-out users, measured beside the dialogues as they were written."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from moshi_zoo.data.dialogue_windows import Place
from moshi_zoo.evaluation.answers import Answer, SpokenWord, answers
from moshi_zoo.evaluation.artefacts import ARTEFACTS, Artefact, artefacts
from moshi_zoo.evaluation.duplex_audio import Ears
from moshi_zoo.evaluation.duplex_conversations import Conversation, converse, name_of
from moshi_zoo.evaluation.measured import Measured, figures_of, share
from moshi_zoo.evaluation.measurement import SHARE, Figure, Measure
from moshi_zoo.evaluation.recognition import TALKING, Recognition, recognition
from moshi_zoo.evaluation.script import questions
from moshi_zoo.models.moshi import Moshi
from moshi_zoo.runtime.settings import TalkSettings
from moshi_zoo.tokenizer import Tokenizer

ALL = "all"
"""The group of all conversations."""

_RIGHT = Measure("answers_right", "answers right", SHARE)
_WORDS = Measure("answer_words", "words of answers, in order", SHARE)
_DIGITS = Measure("answer_digits", "digits of answers, in order", SHARE)
_TEXT_GAP = Measure("text_gap", "reply after the question, by the text", "s", "neither")
_ARTEFACTS: dict[Artefact, Measure] = {
    kind: Measure(f"windows_{kind.replace(' ', '_')}", f"windows: {kind}", SHARE, "neither")
    for kind in ARTEFACTS
    if kind != "none"
}
_VOICES = 4  # dialogues to learn the voices from


@dataclass(frozen=True)
class DuplexSettings:
    """How to measure.

    Args:
        talk: how Moshi talks; each dialogue has its own chance, whoever is in its batch.
        extra_s: room tone after each dialogue, so that late answers are heard.
        batch_size: conversations at once.
        monologue: whether Moshi writes; a model that has learnt without text (an ablation) must not.
        resamples: for the intervals.
        num_examples: conversations that are kept to be heard and seen.
    """

    talk: TalkSettings = field(default_factory=TalkSettings)
    extra_s: float = 2.5
    batch_size: int = 32
    monologue: bool = True
    resamples: int = 1000
    num_examples: int = 10


@dataclass(frozen=True)
class Sounds:
    """What is to be heard of a conversation: Moshi [S], the words that the listener hears, and the user [S]."""

    moshi: Tensor
    heard: list[SpokenWord]
    user: Tensor


@dataclass(frozen=True)
class ConversationRow:
    """A conversation and what was measured.

    Args:
        conversation: that was had.
        answers: by its inner monologue.
        said: what Moshi did.
        written: the same measures of the dialogue as it was written.
        recognised: what it wrote down of the user.
        sounds: of an example.
    """

    conversation: Conversation
    answers: list[Answer]
    said: Measured
    written: Measured
    recognised: Recognition
    sounds: Sounds | None = None


@dataclass(frozen=True)
class Group:
    """Figures of some of the conversations.

    Args:
        name: a family, or :data:`ALL`.
        said: what Moshi did.
        written: the same of the dialogues as written.
        conversations: how many.
    """

    name: str
    said: list[Figure]
    written: list[Figure]
    conversations: int


@dataclass(frozen=True)
class DuplexReport:
    """What was measured.

    Args:
        settings: how.
        groups: of all conversations, and of each family.
        rows: of each conversation.
        took: seconds.
    """

    settings: DuplexSettings
    groups: list[Group]
    rows: list[ConversationRow]
    took: float


def evaluate_duplex(
    moshi: Moshi,
    tokenizer: Tokenizer,
    places: Sequence[Place],
    settings: DuplexSettings,
    *,
    ears: Ears | None = None,
    tell: Callable[[str, int], None] = lambda what, total: None,
    step: Callable[[], None] = lambda: None,
) -> DuplexReport:
    """Talk to the users of dialogues, and measure how it went.

    Args:
        moshi: the model.
        tokenizer: its own.
        places: the dialogues.
        settings: how.
        ears: measure the sound; None: only the text is measured.
        tell: is told what begins, and how many steps it has.
        step: is called after each step.

    Raises:
        ValueError: if there are no dialogues.
    """
    if not places:
        raise ValueError("there are no dialogues to evaluate")
    began = time.perf_counter()
    shown = {name_of(places[i * len(places) // settings.num_examples]) for i in range(settings.num_examples)}
    if ears:
        _learn_voices(ears, places, moshi)
    tell("talking", len(places))
    how = {"extra_s": settings.extra_s, "batch_size": settings.batch_size, "monologue": settings.monologue}
    talks = converse(moshi, tokenizer, places, settings.talk, **how)
    rows = []
    for conversation in talks:
        rows.append(_row(conversation, ears, keep=conversation.name in shown))
        step()
    if any(row.conversation.heard for row in rows):  # else it is no model that writes down what it hears
        rows = [replace(row, said=row.said | row.recognised.measured) for row in rows]
    return DuplexReport(settings, _groups(rows, settings), rows, time.perf_counter() - began)


def _learn_voices(ears: Ears, places: Sequence[Place], moshi: Moshi) -> None:
    codes = [place.store.codes(place.number) for place in places[:: max(len(places) // _VOICES, 1)][:_VOICES]]
    ears.learn_voices(
        [c[0, : moshi.num_own_codebooks] for c in codes], [c[1, : moshi.num_own_codebooks] for c in codes]
    )


def _row(conversation: Conversation, ears: Ears | None, *, keep: bool) -> ConversationRow:
    asked = questions(conversation.turns, conversation.seconds)
    judged, as_written = answers(asked, conversation.said), answers(asked, conversation.expected_words)
    said = _of_answers(judged, conversation.said) | _of_streams(conversation.text, conversation.codes)
    written = _of_answers(as_written, conversation.expected_words)
    written |= _of_streams(conversation.expected_text, conversation.expected_codes)
    sounds = None
    if ears:
        sound, beside = ears.said(conversation, judged), ears.written(conversation, as_written)
        said, written = said | sound.measured, written | beside.measured
        sounds = Sounds(sound.wav, sound.heard, ears.decode(conversation.user_codes)) if keep else None
    heard = recognition(
        conversation.user_words, conversation.heard, frame_rate=conversation.frame_rate, measures=TALKING
    )
    return ConversationRow(conversation, judged, said, written, heard, sounds)


def _of_streams(text: Tensor, codes: Tensor) -> Measured:
    found = artefacts(text, codes)
    return Measured({measure: share(found[kind], found.total()) for kind, measure in _ARTEFACTS.items()})


def _of_answers(judged: Sequence[Answer], words: Sequence[SpokenWord]) -> Measured:
    values = {_RIGHT: share(sum(answer.right for answer in judged), len(judged))}
    for measure, right, among in (
        (_WORDS, [a.words_right for a in judged], [a.num_words for a in judged]),
        (_DIGITS, [a.digits_right for a in judged], [a.num_digits for a in judged]),
    ):
        values[measure] = share(sum(right), sum(among))
    asked = [answer.question for answer in judged if answer.question.expected]
    replies = [next((w for w in words if q.start_s <= w.start_s < q.end_s), None) for q in asked]
    gaps = [reply.start_s - q.asked_s for q, reply in zip(asked, replies, strict=True) if reply]
    return Measured(values, {_TEXT_GAP: gaps})


def _groups(rows: Sequence[ConversationRow], settings: DuplexSettings) -> list[Group]:
    families = sorted({row.conversation.family for row in rows})
    members = {ALL: list(rows)}
    if len(families) > 1:
        members |= {family: [r for r in rows if r.conversation.family == family] for family in families}
    resampling = {"resamples": settings.resamples, "seed": settings.talk.seed}
    return [
        Group(
            name,
            said=figures_of([row.said for row in some], **resampling),
            written=figures_of([row.written for row in some], **resampling),
            conversations=len(some),
        )
        for name, some in members.items()
    ]
