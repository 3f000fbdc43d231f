"""Conversations in text as they are in Moshi's row."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moshi_zoo.data.chat import Message
from moshi_zoo.data.dialogues import dialogues
from moshi_zoo.data.monologue_data import Monologue, MonologueData
from moshi_zoo.tokenizer import Tokenizer

TOKENIZER = Tokenizer.train((d.text for d in islice(dialogues(), 100)), vocab_size=400)
turns = st.lists(
    st.builds(Message, st.sampled_from(["user", "assistant", "system"]), st.text("abc é0 .", max_size=20)), max_size=6
)


def words(messages, *, own):
    return [word for m in messages if (m.role == "assistant") == own for word in m.content.split()]


def read(found):
    return [word.strip() for _, word in found]


@given(turns)
def test_both_sides_come_back_from_the_row(messages):
    (encoded,) = Monologue().encode([messages], TOKENIZER)
    assert read(TOKENIZER.words(encoded.tokens)) == words(messages, own=True)
    assert read(TOKENIZER.words_heard(encoded.tokens)) == words(messages, own=False)
    assert encoded.tokens.count(TOKENIZER.heard) == len(words(messages, own=False))
    assert encoded == Monologue().encode([messages], TOKENIZER)[0]


def test_only_what_moshi_says_is_learnt_and_not_when():
    (encoded,) = Monologue().encode([[Message("user", "what is two"), Message("assistant", "four")]], TOKENIZER)
    answer = TOKENIZER.encode(" four")
    assert [t for t, counts in zip(encoded.tokens, encoded.counted, strict=True) if counts] == answer
    place = next(i for i in range(len(encoded.tokens)) if encoded.tokens[i : i + len(answer)] == answer)
    assert encoded.tokens[place - 1] == TOKENIZER.epad  # announced, as in speech
    assert encoded.tokens[0] == TOKENIZER.control[0]


def test_a_tokenizer_without_the_mark_is_refused():
    bare = Tokenizer.train(["a b c"], vocab_size=270, control_tokens=1, size="at most")
    with pytest.raises(ValueError, match="no spare control token to announce what is heard"):
        Monologue().encode([[Message("user", "a")]], bare)


def test_batches_hold_rows_of_the_embedded_dialogues(tmp_path):
    TOKENIZER.save(tmp_path / "tokenizer.model")
    options = {"tokenizer": str(tmp_path / "tokenizer.model"), "vocab_size": 400, "seq_len": 96, "batch_size": 2}
    data = MonologueData("dialogues", validation_rows=4, **options)
    batch = next(iter(data.train_dataloader()))
    rows = batch["tokens"].tolist()
    assert any(TOKENIZER.words(row) for row in rows)
    assert any(TOKENIZER.words_heard(row) for row in rows)
    assert not batch["loss_mask"][batch["tokens"][:, 1:] == TOKENIZER.pad].any()
