"""The user's words between Moshi's own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moshi_zoo.data.alignments import OTHER, Word
from moshi_zoo.data.heard_words import HeardWords
from moshi_zoo.data.text_row import TextRowBuilder, TimedTokens
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.word_tokens import WordTokens

SAID = ["one", "two", "three", "what", "is", "the", "number", "after", "seventeen"]
TOKENIZER = Tokenizer.train([" ".join(SAID)] * 3, vocab_size=300, control_tokens=3, size="at most")
PAD, EPAD, MARK, RATE = TOKENIZER.pad, TOKENIZER.epad, TOKENIZER.heard, 12.5
TOKENS = WordTokens(TOKENIZER)


def timed(*words):
    """Words of 0.2 s, as (start, text)."""
    return [TimedTokens(start, start + 0.2, TOKENS(text)) for start, text in words]


def own_row(words, num_frames):
    return TextRowBuilder(frame_rate=RATE, pad=PAD, epad=EPAD).build(timed(*words), num_frames).tokens


def written(row, words, delay_s=0.4):
    """The row with the user's words, and how many are lost."""
    row = row.copy()
    said = [Word(text, start, start + 0.2, OTHER) for start, text in words]
    lost = HeardWords(TOKENS, frame_rate=RATE, delay_s=delay_s).write(row, said)
    return row, lost


spoken = st.lists(st.tuples(st.integers(0, 400).map(lambda i: i / 50), st.sampled_from(SAID)), max_size=25)


@given(spoken, spoken, st.integers(1, 100), st.integers(0, 60).map(lambda i: i / 50))
def test_moshis_row_stays_and_every_word_that_is_written_is_announced(own, user, num_frames, delay_s):
    before = own_row(own, num_frames)
    row, lost = written(before, user, delay_s)
    assert (row[before != PAD] == before[before != PAD]).all()
    assert TOKENIZER.words(row) == TOKENIZER.words(before)
    heard = TOKENIZER.words_heard(row)
    assert len(heard) == len(user) - lost == (row == MARK).sum()
    assert all(row[frame - 1] == MARK for frame, _ in heard)
    # each as late as is asked for, or waiting for room, and never before its turn
    given_words = sorted((start, text) for start, text in user)
    for frame, text in heard:
        due = [start for start, other in given_words if other == text.strip()]
        late = [frame / RATE - start - delay_s for start in due]
        assert any(-2 / RATE < seconds <= 0.8 + 1 / RATE for seconds in late)
    assert [frame for frame, _ in heard] == sorted(frame for frame, _ in heard)
    again, lost_again = written(before, user[::-1], delay_s)
    assert (lost, row.tolist()) == (lost_again, again.tolist()) or len({start for start, _ in user}) < len(user)


def test_a_word_is_written_half_a_second_after_it_begins():
    row, lost = written(np.full(40, PAD), [(1.0, "two")], 0.48)
    frame = int((1.0 + 0.48) * RATE)
    assert lost == 0
    assert TOKENIZER.words_heard(row) == [(frame, " two")]
    assert row[frame - 1] == MARK
    assert (np.delete(row, range(frame - 1, frame + len(TOKENS("two")))) == PAD).all()


def test_a_word_waits_for_room_but_not_for_long():
    own = np.full(40, PAD)
    own[10:16] = TOKENS("one")[0]
    row, lost = written(own, [(0.4, "two")])
    assert lost == 0
    assert TOKENIZER.words_heard(row) == [(17, " two")]  # due in frame 10
    own[10:26] = TOKENS("one")[0]
    assert written(own, [(0.4, "two")])[1] == 1


def test_words_behind_the_end_and_without_tokens_are_lost():
    assert written(np.full(10, PAD), [(0.7, "two"), (0.0, "")])[1] == 2
    full = np.full(20, TOKENS("one")[0])
    row, lost = written(full, [(0.1, "two"), (0.3, "is")])
    assert lost == 2
    assert (row == full).all()


def test_what_an_aligner_takes_for_one_word_is_announced_part_by_part_in_one_piece():
    own = np.full(40, PAD)
    own[12:16] = TOKENS("one")[0]
    row, lost = written(own, [(0.4, "what is the")])
    assert lost == 0
    heard = TOKENIZER.words_heard(row)
    assert [text for _, text in heard] == [" what", " is", " the"]
    first = heard[0][0] - 1
    tokens = [token for part in ("what", "is", "the") for token in (MARK, *TOKENS(part))]
    assert row[first : first + len(tokens)].tolist() == tokens
    assert first >= 16, "it waits until all of it has room"


def test_without_a_mark_nothing_can_be_written():
    bare = Tokenizer.train([" ".join(SAID)] * 3, vocab_size=300, control_tokens=1, size="at most")
    with pytest.raises(ValueError, match="no spare control token"):
        HeardWords(WordTokens(bare), frame_rate=RATE, delay_s=0.4)
