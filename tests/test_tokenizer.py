"""Text to ids and back."""

import pickle
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moshi_zoo.data.sentences import sentence
from moshi_zoo.tokenizer import Tokenizer

TEXT = "\n".join(sentence(random.Random(i)) for i in range(100)) + " 24 dogs"
TOKENIZER = Tokenizer.train([TEXT], vocab_size=400, control_tokens=5)

characters = st.characters(codec="utf-8") | st.sampled_from(" \n\t\r\0\u2581\u2585\u2028\ufeff<>|s01")


@given(st.text(characters) | st.sampled_from(["<pad>", "<s>", "<|control_0|>", "<0x41>", "<unk>", " a ", "  "]))
def test_any_text_comes_back(text):
    tokens = TOKENIZER.encode(text)
    assert TOKENIZER.decode(tokens) == text
    assert all(token > 3 and token not in TOKENIZER.control for token in tokens)  # no text can spell a special token
    sizes = TOKENIZER.num_bytes()
    assert sum(sizes[token] for token in tokens) == len(text.encode())


@given(st.lists(st.text(characters)))
def test_texts_together_are_as_texts_alone(texts):
    alone = [TOKENIZER.encode(text) for text in texts]
    assert TOKENIZER.encode_all(texts) == TOKENIZER.encode_all(texts, num_threads=2) == alone


def test_reserved_ids():
    assert (TOKENIZER.epad, TOKENIZER.bos, TOKENIZER.eos, TOKENIZER.pad) == (0, 1, 2, 3)
    assert TOKENIZER.control == (4, 5, 6, 7, 8)
    assert TOKENIZER.vocab_size == len(TOKENIZER.num_bytes()) == 400
    assert TOKENIZER.decode([1, 0, 3, *TOKENIZER.encode("a b"), 5, 2]) == "a b"
    assert TOKENIZER.num_bytes()[:9] == [0] * 9


def test_a_larger_vocabulary_has_more_spare_control_tokens():
    assert len(Tokenizer.train([TEXT], vocab_size=420).control) == 6
    assert not Tokenizer.train([TEXT], vocab_size=420, control_tokens=0).control


def test_digits_stand_alone():
    assert len(TOKENIZER.encode("2424")) == 4


def test_pieces_do_not_cross_the_end_of_a_line():
    assert not any("\n" in TOKENIZER.piece(i) for i in range(TOKENIZER.vocab_size))


def test_the_same_text_gives_the_same_file():
    assert Tokenizer.train([TEXT], vocab_size=400, control_tokens=5).model_bytes == TOKENIZER.model_bytes


def test_normalization_joins_variants():
    folded = Tokenizer.train([TEXT], vocab_size=400, normalization="nmt_nfkc")
    assert folded.decode(folded.encode("ﬁ①")) == "fi1"
    assert TOKENIZER.decode(TOKENIZER.encode("ﬁ①")) == "ﬁ①"


def test_it_travels_as_a_file_and_to_workers(tmp_path):
    (tmp_path / "run" / "zoo").mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "run" / "zoo"):
        TOKENIZER.save(folder / "tokenizer.model")
    for other in (
        Tokenizer.load(tmp_path),
        Tokenizer.load(tmp_path / "run"),  # a run leaves a zoo folder
        Tokenizer.load(tmp_path / "tokenizer.model"),
        pickle.loads(pickle.dumps(TOKENIZER)),
    ):
        assert other.sha256 == TOKENIZER.sha256
        assert other.encode("the cat") == TOKENIZER.encode("the cat")


def test_other_layouts_are_read_from_the_file(tmp_path):
    from sentencepiece import SentencePieceTrainer

    SentencePieceTrainer.train(  # as Helium-1 2B has it
        sentence_iterator=iter(TEXT.splitlines()),
        model_prefix=str(tmp_path / "other"),
        vocab_size=100,
        bos_id=0,
        eos_id=1,
        unk_id=2,
        pad_id=3,
        minloglevel=2,
    )
    other = Tokenizer.load(tmp_path / "other.model")
    assert (other.bos, other.eos, other.epad, other.pad, other.control) == (0, 1, 2, 3, ())
    assert other.decode([0, *other.encode("the cat"), 1]) == "the cat"


def test_too_large_a_vocabulary_names_the_largest():
    with pytest.raises(ValueError, match=r"too few pieces for a vocabulary of 5000: ask for (\d+) at most") as refused:
        Tokenizer.train([TEXT], vocab_size=5000, control_tokens=5)
    most = int(str(refused.value).split(" at most")[0].split()[-1])
    assert Tokenizer.train([TEXT], vocab_size=most, control_tokens=5).vocab_size == most
    assert Tokenizer.train([TEXT], vocab_size=5000, control_tokens=5, size="at most").vocab_size == most


def test_too_small_a_vocabulary_names_the_smallest():
    with pytest.raises(ValueError, match=r"a vocabulary of 100 cannot hold .* ask for at least (\d+)") as refused:
        Tokenizer.train([TEXT], vocab_size=100, control_tokens=5)
    least = int(str(refused.value).split()[-1])
    assert Tokenizer.train([TEXT], vocab_size=least, control_tokens=5).vocab_size == least


def test_what_goes_wrong_with_the_text_is_not_hidden():
    def broken():
        yield TEXT
        raise ValueError("the disk is gone")

    with pytest.raises(ValueError, match=r"^the disk is gone$"):
        Tokenizer.train(broken(), vocab_size=400)
    with pytest.raises(ValueError, match="no text to train"):
        Tokenizer.train([" \n"], vocab_size=400)


def test_half_a_character_is_refused():
    for num_threads in (1, 2):
        with pytest.raises(ValueError, match="surrogate"):
            TOKENIZER.encode_all(["a\ud800"], num_threads=num_threads)


def test_an_id_from_elsewhere_is_refused():
    with pytest.raises(ValueError, match="token 400 is not in a vocabulary of 400"):
        TOKENIZER.decode([5, 400])


@pytest.mark.parametrize("content", [b"", b"x" * 50, b"PK\x03\x04"])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "x.model").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.model: this is not a SentencePiece model"):
        Tokenizer.load(tmp_path / "x.model")
    with pytest.raises(ValueError, match="there is no tokenizer"):
        Tokenizer.load(tmp_path)


def test_words_of_a_row_are_moshis_or_announced_as_heard():
    heard, one, is_it, pad, epad = TOKENIZER.heard, *map(TOKENIZER.encode, (" one", " is")), 3, 0
    assert heard == TOKENIZER.control[1]
    row = [pad, epad, *one, *is_it, heard, *is_it, heard, *one, *one, pad, *is_it, 10_000, heard, pad, *one]
    at = [len(row[:i]) for i in (2, 2 + len(one))]
    assert TOKENIZER.words(row)[:2] == [(at[0], " one"), (at[1], " is")]
    assert [word for _, word in TOKENIZER.words(row)] == [" one", " is", " one", " is", " one"]
    assert [word for _, word in TOKENIZER.words_heard(row)] == [" is", " one"]  # a mark counts for the next token alone
    assert all(row[frame - 1] == heard for frame, _ in TOKENIZER.words_heard(row))


def test_what_stands_for_text_is_known():
    assert [TOKENIZER.is_text(token) for token in (-1, 0, 1, 2, 3, TOKENIZER.heard, 400)] == [False] * 7
    assert all(map(TOKENIZER.is_text, TOKENIZER.encode(" is é")))
    assert TOKENIZER.begins_word(TOKENIZER.encode(" is")[0])
    assert not TOKENIZER.begins_word(TOKENIZER.encode("is")[0])
    assert Tokenizer.train([TEXT], vocab_size=420, control_tokens=1).heard is None
