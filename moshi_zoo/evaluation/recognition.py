"""What a model writes down of its users, beside what they said."""

from collections.abc import Sequence
from dataclasses import dataclass

from moshi_zoo.data.alignments import Word
from moshi_zoo.data.dialogue import normalise_answer
from moshi_zoo.data.dialogue_tasks import DIGITS
from moshi_zoo.evaluation.measured import Measured
from moshi_zoo.evaluation.measurement import SHARE, Measure, Value
from moshi_zoo.evaluation.word_errors import Alignment, align
from moshi_zoo.runtime.words import SpokenWord


@dataclass(frozen=True)
class RecognitionMeasures:
    """What is measured: errors a word, errors a digit, and how long after the end of a word it is written."""

    words: Measure
    digits: Measure
    delay: Measure


LISTENING = RecognitionMeasures(
    Measure("word_error_rate", "word error rate", SHARE, "lower"),
    Measure("digit_error_rate", "digit error rate", SHARE, "lower"),
    Measure("emission_delay", "written after the end of the word", "s", "lower"),
)
"""Of a model that does nothing else (mode ``asr``)."""

TALKING = RecognitionMeasures(
    Measure("heard_word_error_rate", "user's words written down: word error rate", SHARE, "lower"),
    Measure("heard_digit_error_rate", "user's digits written down: digit error rate", SHARE, "lower"),
    Measure("heard_delay", "user's words written down after their end", "s", "lower"),
)
"""Of a model that talks meanwhile."""


@dataclass(frozen=True)
class Recognition:
    """What was said and what was written, both normalised, and what was measured."""

    said: str
    heard: str
    measured: Measured


def recognition(
    said: Sequence[Word], heard: Sequence[SpokenWord], *, frame_rate: float, measures: RecognitionMeasures
) -> Recognition:
    """Compare what was written with what was said.

    Args:
        said: words of the user, in order.
        heard: words that the model wrote.
        frame_rate: tokens a second.
        measures: what the results are called.
    """
    spoken = [(part, word) for word in said for part in normalise_answer(word.text).split()]
    written = [(part, word) for word in heard for part in normalise_answer(word.text).split()]
    aligned = align([part for part, _ in spoken], [part for part, _ in written])
    delays = []
    for i, j in aligned.pairs:
        word = written[j][1]
        written_s = (word.frame + len(word.tokens) - 1) / frame_rate  # its last token, said as this frame begins
        delays.append(written_s - spoken[i][1].end_s)
    digits = align([part for part, _ in spoken if part in DIGITS], [part for part, _ in written if part in DIGITS])
    return Recognition(
        " ".join(part for part, _ in spoken),
        " ".join(part for part, _ in written),
        Measured({measures.words: _rate(aligned), measures.digits: _rate(digits)}, {measures.delay: delays}),
    )


def _rate(aligned: Alignment) -> Value:
    """Errors a word; undefined where there is none."""
    if not aligned.num_words:
        return Value(float("nan"))
    return Value(aligned.errors / aligned.num_words, aligned.num_words)
