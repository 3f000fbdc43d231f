"""Words out of a row of text tokens."""

import json
import random

from moshi_zoo.runtime.spelling import Spelling
from moshi_zoo.runtime.words import WordStream, as_json
from tests.runtime.pairs import tokenizer


def test_words_that_stream_are_those_of_the_whole_row():
    pieces, chance = tokenizer(), random.Random(1)
    for _ in range(20):
        row = [chance.choice([3, 3, 0, *pieces.encode(" seven"), *range(4, 300)]) for _ in range(30)]
        stream = WordStream(pieces, frame_rate=12.5)
        words = [word for token in row if (word := stream.add(token))]
        words += [word] if (word := stream.end()) else []
        # a word of spaces alone is none
        assert [(w.frame, w.text) for w in words] == [(f, t.strip()) for f, t in pieces.words(row) if t.strip()]


def test_times_are_those_of_the_sound():
    pieces = tokenizer()
    tokens = pieces.encode(" seven")
    stream = WordStream(pieces, frame_rate=12.5, first=10, delay_s=0.64)
    assert [stream.add(token) for token in tokens] == [None] * len(tokens)
    word = stream.add(3)
    assert (word.text, word.frame, word.start_s, word.tokens) == ("seven", 10, 0.16, tuple(tokens))
    assert json.loads(as_json([word]))[0]["start_s"] == 0.16


def test_what_is_shown_joins_bytes_to_characters_and_keeps_spaces():
    pieces = tokenizer()
    spelling = Spelling(pieces, silent={3, 0})
    tokens = [3, *pieces.encode(" one é two"), 0, -1, pieces.bos, 100_000]
    assert "<0xC3>" in [pieces.piece(token) for token in tokens[:-4]]
    shown = [spelling.add(token) for token in tokens]
    assert "".join(piece for piece in shown if piece) == " one é two"
    assert shown[0] is None
    assert shown[-4:] == [None] * 4
    torn = [token for token in pieces.encode("é") if pieces.piece(token) == "<0xC3>"]
    assert "".join(spelling.add(token) or "" for token in [*torn, *pieces.encode(" one")]) == " one"
