"""What a set of dialogues holds, in numbers: to see before training whether words and turns are as they should be."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from moshi_zoo.data import audio
from moshi_zoo.data.alignments import MAIN, Word, read_words
from moshi_zoo.data.code_store import CodeStore
from moshi_zoo.data.manifest import Recording
from moshi_zoo.data.text_row import TextRowBuilder, TextRowStats, TimedTokens
from moshi_zoo.data.turn_statistics import TurnStatistics, turn_statistics
from moshi_zoo.word_tokens import WordTokens


@dataclass(frozen=True)
class Surveyed:
    """A dialogue: its length, and its words if they are known."""

    seconds: float
    words: list[Word] | None


@dataclass
class DialogueSummary:
    """Of a set of dialogues.

    Args:
        dialogues: How many.
        seconds: Their length.
        unknown: How many of them have no words.
        moshi_words: Words of Moshi.
        user_words: Words of others.
        turns: Speech, pauses, gaps and overlaps, by the words' times.
        text: Moshi's row of text.
    """

    dialogues: int = 0
    seconds: float = 0.0
    unknown: int = 0
    moshi_words: int = 0
    user_words: int = 0
    turns: TurnStatistics = field(default_factory=TurnStatistics)
    text: TextRowStats = field(default_factory=TextRowStats)


def of_store(store: CodeStore) -> Iterator[Surveyed]:
    """The dialogues of a store."""
    for number, entry in enumerate(store.entries):
        yield Surveyed(entry.num_frames / store.codec.frame_rate, store.words(number))


def of_files(recordings: Iterable[Recording]) -> Iterator[Surveyed]:
    """The dialogues of a manifest.

    Raises:
        ValueError: if a file or its words cannot be used.
    """
    for recording in recordings:
        seconds = audio.probe(recording.path).duration if recording.duration is None else recording.duration
        yield Surveyed(seconds, read_words(recording))


def summarise(
    dialogues: Iterable[Surveyed], *, text: TextRowBuilder | None = None, tokens: WordTokens | None = None
) -> DialogueSummary:
    """Look at all dialogues.

    Args:
        dialogues: Them.
        text: Lays out Moshi's text; None: nobody asks for it.
        tokens: For it.
    """
    summary = DialogueSummary()
    for dialogue in dialogues:
        summary.dialogues += 1
        summary.seconds += dialogue.seconds
        if dialogue.words is None:
            summary.unknown += 1
            continue
        moshi = [word for word in dialogue.words if word.speaker == MAIN]
        user = [word for word in dialogue.words if word.speaker != MAIN]
        summary.moshi_words += len(moshi)
        summary.user_words += len(user)
        summary.turns += turn_statistics(
            [(word.start_s, word.end_s) for word in moshi], [(word.start_s, word.end_s) for word in user]
        )
        if text and tokens:
            timed = [TimedTokens(word.start_s, word.end_s, tokens(word.text)) for word in moshi]
            num_frames = round(dialogue.seconds * text.frame_rate)
            summary.text += text.build(timed, num_frames).stats
    return summary
