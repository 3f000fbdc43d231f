"""Word errors of transcripts."""

import pytest

from moshi_zoo.evaluation.word_errors import align


@pytest.mark.parametrize(
    ("said", "heard", "errors", "pairs"),
    [
        ("one two three", "one two three", 0, [(0, 0), (1, 1), (2, 2)]),
        ("one two three", "one four three", 1, [(0, 0), (2, 2)]),
        ("one two three", "one three", 1, [(0, 0), (2, 1)]),
        ("one two", "oh one two", 1, [(0, 1), (1, 2)]),
        ("", "one two", 2, []),
        ("one two", "", 2, []),
        ("a b c d", "b c d e", 2, [(1, 0), (2, 1), (3, 2)]),
    ],
)
def test_errors_are_the_fewest_changes_and_pairs_are_the_words_got_right(said, heard, errors, pairs):
    found = align(said.split(), heard.split())
    assert (found.errors, found.pairs, found.num_words) == (errors, pairs, len(said.split()))
