"""Words one by one, as they are in a text."""

import pytest

from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.word_tokens import WordTokens

TEXT = "hello there how are you today my friend the lady in the lake"


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train([TEXT] * 3, vocab_size=330, size="at most")


def test_words_one_by_one_are_the_pieces_of_the_text(tokenizer):
    tokens = WordTokens(tokenizer)
    pieces = [token for word in TEXT.split() for token in tokens(word)]
    assert pieces == tokenizer.encode(" " + TEXT)
    assert tokenizer.decode(pieces) == " " + TEXT


def test_words_of_languages_without_spaces_have_none(tokenizer):
    tokens = WordTokens(tokenizer, boundary="none")
    assert tokenizer.decode([*tokens("the"), *tokens("lady")]) == "thelady"


def test_an_empty_word_has_no_tokens(tokenizer):
    assert WordTokens(tokenizer)("  ") == ()
