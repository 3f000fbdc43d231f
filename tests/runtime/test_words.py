"""Words out of a row of text tokens."""

import json
import random

from moshi_zoo.runtime.spelling import Spelling
from moshi_zoo.runtime.words import WordStream, as_json
from tests.runtime.pairs import tokenizer


def test_words_that_stream_are_those_of_the_whole_row():
    pieces, chance = tokenizer(), random.Random(1)
    for _ in range(20):
        row = [
            chance.choice([3, 3, 0, pieces.heard, pieces.heard, *pieces.encode(" seven"), *range(4, 300)])
            for _ in range(30)
        ]
        stream = WordStream(pieces, frame_rate=12.5)
        words = [word for token in row if (word := stream.add(token))]
        words += [word] if (word := stream.end()) else []
        for speaker, expected in [("moshi", pieces.words(row)), ("user", pieces.words_heard(row))]:
            # a word of spaces alone is none
            said = [(word.frame, word.text) for word in words if word.speaker == speaker]
            assert said == [(frame, text.strip()) for frame, text in expected if text.strip()]


def test_times_are_those_of_the_sound():
    pieces = tokenizer()
    tokens = pieces.encode(" seven")
    stream = WordStream(pieces, frame_rate=12.5, first=10, delay_s=0.64)
    assert [stream.add(token) for token in tokens] == [None] * len(tokens)
    word = stream.add(3)
    assert (word.text, word.frame, word.start_s, word.tokens) == ("seven", 10, 0.16, tuple(tokens))
    assert json.loads(as_json([word]))[0]["start_s"] == 0.16


def test_the_users_words_have_their_speaker_and_their_own_delay():
    pieces = tokenizer()
    row = [3, pieces.heard, *pieces.encode(" two"), 0, *pieces.encode(" seven"), 3]
    stream = WordStream(pieces, frame_rate=12.5, heard_delay_s=0.08)
    heard, own = [word for token in row if (word := stream.add(token))]
    assert (heard.text, heard.speaker, heard.frame, heard.start_s) == ("two", "user", 2, 0.08)
    assert (own.text, own.speaker, own.start_s) == ("seven", "moshi", round(own.frame / 12.5, 3))
    assert [word["speaker"] for word in json.loads(as_json([heard, own]))] == ["user", "moshi"]
    listening = WordStream(pieces, frame_rate=12.5, speaker="user")
    words = [listening.add(token) for token in row]
    assert {word.speaker for word in words if word} == {"user"}


def test_whose_a_piece_is_is_known_while_it_is_shown():
    pieces = tokenizer()
    spelling, shown = Spelling(pieces, silent={3, 0}), {True: "", False: ""}
    row = [pieces.heard, *pieces.encode(" two"), pieces.heard, *pieces.encode(" é"), 0, *pieces.encode(" seven"), 3]
    for token in row:
        piece = spelling.add(token)
        shown[spelling.is_heard] += piece or ""
    assert shown == {True: " two é", False: " seven"}


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
