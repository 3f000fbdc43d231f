"""The user's words in many rows at once."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from moshi_zoo.metrics.heard_tokens import HeardTokens
from moshi_zoo.tokenizer import Tokenizer, WordReader

TOKENIZER = Tokenizer.train(["one two three hello é"] * 3, vocab_size=300, control_tokens=3, size="at most")
SPELLED = TOKENIZER.encode(" two x")
tokens = st.sampled_from([-1, 0, 1, 3, 4, TOKENIZER.heard, TOKENIZER.heard, *SPELLED, TOKENIZER.vocab_size + 5])


@given(st.lists(st.lists(tokens, min_size=12, max_size=12), min_size=1, max_size=4))
def test_they_are_those_that_a_reader_finds(rows):
    expected = []
    for row in rows:
        reader = WordReader(TOKENIZER)
        expected.append([reader.read(token) != "none" and reader.is_heard for token in row])
    find = HeardTokens(TOKENIZER)
    assert find(torch.tensor(rows)).tolist() == expected
    assert find(torch.tensor(rows[0])).tolist() == expected[0]
    marks = find.are_marks(torch.tensor(rows))
    assert marks.tolist() == [[token == TOKENIZER.heard for token in row] for row in rows]


def test_without_a_mark_nothing_is_heard():
    bare = Tokenizer.train(["one two three hello é"] * 3, vocab_size=300, control_tokens=0, size="at most")
    row = torch.tensor([-1, 4, 5, *bare.encode(" two"), 3])
    assert not HeardTokens(bare)(row).any()
    assert not HeardTokens(bare).are_marks(row).any()
