"""The row of text: every corner, and properties that hold for any words."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from moshi_zoo.data.text_row import NOTHING, TextRowBuilder, TextRowStats, TimedTokens

PAD, EPAD = 3, 0
P, E, N = PAD, EPAD, NOTHING


def builder(crowded="shift", epad=EPAD, frame_rate=10.0):
    return TextRowBuilder(frame_rate=frame_rate, pad=PAD, epad=epad, crowded=crowded)


def word(start, tokens, end=None):
    return TimedTokens(start, start + 0.3 if end is None else end, tokens)


def row(words, frames=8, delay=0.0, **settings):
    return builder(**settings).build(words, frames, text_delay_s=delay).tokens.tolist()


def by_frames(words, num_frames, crowded, delay):
    """The same, frame by frame: the algorithm as it is described, with a queue."""
    words = sorted((w for w in words if w.end_s > w.start_s and w.end_s > delay and w.tokens), key=lambda w: w.start_s)
    first = min(int(max(-delay, 0) * 10 + 1e-6), num_frames)
    waiting, queue, result = list(words), [], [PAD] * num_frames
    for t in range(num_frames):
        if t < first:
            result[t] = NOTHING
            continue
        while waiting and int(np.floor((waiting[0].start_s - delay) * 10 + 1e-6)) <= t:
            new = list(waiting.pop(0).tokens)
            queue = queue + new if crowded == "shift" or not queue else new if crowded == "replace" else queue
        if queue and t == first:
            result[t] = EPAD
        elif queue:
            if result[t - 1] == PAD:
                result[t - 1] = EPAD
            result[t] = queue.pop(0)
    if result and result[-1] == EPAD:
        result[-1] = PAD  # nothing follows
    return result


@st.composite
def some_words(draw):
    starts = draw(st.lists(st.integers(-4, 60), max_size=12, unique=True))
    lengths = st.integers(0, 20)
    tokens = st.lists(st.integers(10, 99), min_size=0, max_size=5)
    return [TimedTokens(s / 20, (s + draw(lengths)) / 20, draw(tokens)) for s in starts]


class TestCorners:
    def test_tokens_begin_where_the_word_does_and_epad_comes_before(self):
        assert row([word(0.25, [11, 12]), word(0.65, [13])]) == [P, E, 11, 12, P, E, 13, P]

    def test_a_word_in_the_first_frame_gives_it_to_epad(self):
        assert row([word(0.0, [11, 12])]) == [E, 11, 12, P, P, P, P, P]

    def test_no_epad_between_words_that_touch(self):
        assert row([word(0.1, [11, 12]), word(0.3, [13])]) == [E, 11, 12, 13, P, P, P, P]

    def test_crowded_words_wait_are_cut_or_left_out(self):
        words = [word(0.1, [11, 12, 13]), word(0.2, [14, 15])]
        assert row(words, crowded="shift") == [E, 11, 12, 13, 14, 15, P, P]
        assert row(words, crowded="replace") == [E, 11, 14, 15, P, P, P, P]
        assert row(words, crowded="truncate") == [E, 11, 12, 13, P, P, P, P]

    def test_of_two_words_in_one_frame_replacing_keeps_the_second_alone(self):
        words = [word(0.21, [11]), word(0.25, [12])]
        assert row(words, crowded="replace") == [P, E, 12, P, P, P, P, P]
        assert row(words, crowded="shift") == [P, E, 11, 12, P, P, P, P]

    def test_words_without_length_or_tokens_are_dropped_and_counted(self):
        result = builder().build([word(0.2, [11], end=0.2), word(0.3, []), word(0.5, [12])], 8)
        assert result.tokens.tolist() == [P, P, P, P, E, 12, P, P]
        assert (result.stats.num_words, result.stats.words_dropped, result.stats.tokens_dropped) == (3, 2, 1)

    def test_what_lies_beyond_the_recording_is_lost_and_counted(self):
        result = builder().build([word(0.6, [11, 12, 13]), word(0.9, [14])], 8)
        assert result.tokens.tolist() == [P, P, P, P, P, E, 11, 12]
        assert (result.stats.words_dropped, result.stats.tokens_dropped) == (1, 2)

    def test_text_ahead_of_speech_loses_what_would_be_before_it_and_clips_what_began_before(self):
        words = [word(0.0, [11], end=0.2), word(0.1, [12], end=0.4), word(0.6, [13])]
        assert row(words, delay=0.3) == [E, 12, E, 13, P, P, P, P]

    def test_text_behind_speech_knows_nothing_at_first(self):
        assert row([word(0.0, [11]), word(0.4, [12])], delay=-0.2) == [N, N, E, 11, P, E, 12, P]

    def test_without_epad_words_come_unannounced(self):
        assert row([word(0.0, [11]), word(0.4, [12])], epad=None) == [11, P, P, P, 12, P, P, P]

    def test_times_on_the_border_of_frames_belong_to_the_frame_they_begin(self):
        for frame in range(1, 500):
            placed = row([word(round(frame * 0.08, 2), [11])], frames=502, frame_rate=12.5)
            assert placed.index(11) == frame

    def test_statistics(self):
        stats = builder().build([word(0.1, [11, 12, 13]), word(0.2, [14])], 8).stats
        assert stats == TextRowStats(8, num_pad=3, num_epad=1, num_tokens=4, num_words=2, max_shift=2)
        total = stats + TextRowStats(2, num_pad=2, max_shift=1)
        assert (total.num_frames, total.pad_share, total.max_shift) == (10, 0.5, 2)


class TestProperties:
    @given(some_words(), st.integers(0, 40), st.sampled_from(["shift", "replace", "truncate"]), st.integers(-10, 10))
    def test_it_is_what_the_description_frame_by_frame_gives(self, words, frames, crowded, delay):
        delay = delay / 20
        assert row(words, frames, delay, crowded=crowded) == by_frames(words, frames, crowded, delay)

    @given(some_words())
    def test_shifting_loses_nothing_and_keeps_the_order(self, words):
        usable = sorted((w for w in words if w.end_s > w.start_s and w.end_s > 0), key=lambda w: w.start_s)
        tokens = [token for w in usable for token in w.tokens]
        result = builder().build(words, 200)
        assert [t for t in result.tokens.tolist() if t not in (PAD, EPAD)] == tokens
        assert result.stats.max_shift <= len(tokens)

    @given(some_words(), st.sampled_from(["shift", "replace", "truncate"]))
    def test_epad_is_followed_by_a_word_and_there_are_no_more_than_words(self, words, crowded):
        result = builder(crowded).build(words, 30)
        tokens = result.tokens.tolist()
        assert all(after not in (PAD, EPAD) for token, after in zip(tokens, [*tokens[1:], PAD]) if token == EPAD)  # noqa: B905
        assert tokens.count(EPAD) <= len(words) - result.stats.words_dropped

    @given(some_words(), st.randoms())
    def test_the_order_of_the_file_does_not_matter(self, words, rng):
        shuffled = rng.sample(words, len(words))
        assert row(shuffled, 40) == row(words, 40)

    @given(some_words(), st.integers(0, 40), st.integers(-10, 10))
    def test_counts_add_up(self, words, frames, delay):
        result = builder("replace").build(words, frames, text_delay_s=delay / 20)
        tokens, stats = result.tokens.tolist(), result.stats
        assert (stats.num_pad, stats.num_epad) == (tokens.count(PAD), tokens.count(EPAD))
        assert stats.num_pad + stats.num_epad + stats.num_tokens + tokens.count(NOTHING) == frames
        assert stats.num_tokens + stats.tokens_dropped == sum(len(w.tokens) for w in words)
