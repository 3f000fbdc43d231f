"""Conversations: one template to train on and to generate with."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moshi_zoo.data.chat import Chat, Message, chat_prompt, parse_messages
from moshi_zoo.data.chat_data import ChatData
from moshi_zoo.data.text_files import LineReport
from moshi_zoo.tokenizer import Tokenizer
from tests.data.texts import tokenizer

TALK = [
    Message("system", "be brief."),
    Message("user", "what is two plus three?"),
    Message("assistant", "five."),
    Message("user", "and four?"),
    Message("assistant", "nine."),
]
PLAIN = Tokenizer.train(
    ["user: hello. moshi: hi, how are you? good, two three four five."], vocab_size=284, control_tokens=0
)

messages = st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant"]), st.text(max_size=20)), min_size=1
)


def test_the_template():
    t = tokenizer()
    system, user, assistant = t.control[:3]
    tokens = [t.bos, system, *t.encode("be brief."), t.eos, user, *t.encode("what is two plus three?"), t.eos]
    tokens += [assistant, *t.encode("five."), t.eos, user, *t.encode("and four?"), t.eos]
    tokens += [assistant, *t.encode("nine."), t.eos]
    assert Chat().encode([TALK], t)[0].tokens == tokens


def test_without_control_tokens_the_template_is_plain_text():
    tokens = Chat().encode([TALK], PLAIN)[0].tokens
    assert PLAIN.decode([token for token in tokens if token != PLAIN.eos]) == (
        "System: be brief.User: what is two plus three?Assistant: five.User: and four?Assistant: nine."
    )


@pytest.mark.parametrize("pieces", [tokenizer(), PLAIN], ids=["control tokens", "plain text"])
@given(conversation=messages)
def test_training_continues_exactly_what_generation_begins(pieces, conversation):
    """The tokens that count are the answer after each prompt, to its eos, and nothing else."""
    encoded = Chat().encode([conversation], pieces)[0]
    counted = np.zeros(len(encoded.tokens), bool)
    for number, message in enumerate(conversation):
        if message.role == "assistant":
            prompt = chat_prompt(conversation[:number], pieces)
            answer = [*pieces.encode(message.content), pieces.eos]
            assert encoded.tokens[: len(prompt) + len(answer)] == prompt + answer
            counted[len(prompt) : len(prompt) + len(answer)] = True
    assert encoded.counted == counted.tolist()


@given(messages)
def test_content_cannot_imitate_a_turn(conversation):
    t = tokenizer()
    tokens = Chat().encode([conversation], t)[0].tokens
    assert sum(token in t.control for token in tokens) == sum(token == t.eos for token in tokens) == len(conversation)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "no list"),
        ("hello", "no list"),
        ([], "the assistant says nothing"),
        ([{"role": "user", "content": "hello"}], "the assistant says nothing"),
        ([{"role": "assistant", "content": " "}], "the assistant says nothing"),
        ([{"role": "robot", "content": "hello"}], 'not {"role": "system|user|assistant"'),
        ([{"role": "user", "content": 3}], "a message is"),
        ([{"role": ["user"], "content": "hello"}], "a message is"),
        (["hello"], "a message is"),
    ],
)
def test_what_is_no_conversation_is_refused(value, problem):
    with pytest.raises(ValueError, match=problem.replace("|", r"\|")):
        parse_messages(value)


def _lines(count):
    ask = [
        [{"role": "user", "content": f"say {i}"}, {"role": "assistant", "content": f"{i}, {i}"}] for i in range(count)
    ]
    return [json.dumps({"messages": talk}) for talk in ask]


def test_conversations_are_read_and_bad_ones_counted(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([*_lines(3), '{"messages": []}', '{"text": "x"}']))
    report = LineReport(1.0)
    assert [talk[1].content for talk in Chat().read(path, report)] == ["0, 0", "1, 1", "2, 2"]
    assert (report.num_bad, report.num_lines) == (2, 5)
    with pytest.raises(ValueError, match="holds no conversations"):
        list(Chat().read(tmp_path / "a.txt", report))


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOSHI_ZOO_CACHE", str(tmp_path / "cache"))


def test_answers_alone_are_to_be_predicted(tmp_path):
    (tmp_path / "chat.jsonl").write_text("\n".join(_lines(200)))
    tokenizer().save(tmp_path / "t.model")
    data = ChatData(str(tmp_path / "chat.jsonl"), tokenizer=str(tmp_path / "t.model"), seq_len=40, batch_size=1)
    pieces = tokenizer()
    seen = []
    for loader in (data.train_dataloader(), data.val_dataloader()):
        for batch in loader:
            for tokens, mask, document in zip(batch["tokens"], batch["loss_mask"], batch["document"], strict=True):
                for number in document.unique():
                    mine = document[1:] == number
                    text = pieces.decode(tokens[1:][mine & mask].tolist())
                    whole = pieces.decode(tokens[document == number].tolist())
                    assert whole == (f"say {text[: len(text) // 2 - 1]}{text}" if text else "")
                    seen += [text] if text else []
    assert sorted(seen) == sorted(f"{i}, {i}" for i in range(200))


def test_the_embedded_dialogues_are_conversations_with_moshi():
    data = ChatData(seq_len=64, batch_size=4, validation_rows=3)
    batch = next(iter(data.train_dataloader()))
    assert data.tokenizer is not None
    assert batch["tokens"].shape == (4, 65)
    assert batch["loss_mask"].any(dim=1).all()
    assert (batch["tokens"][:, 1] == data.tokenizer.control[1]).any()  # somebody's first turn is the user's


def test_conversations_longer_than_a_row_are_told_of(tmp_path, caplog):
    (tmp_path / "chat.jsonl").write_text("\n".join(_lines(200)))
    data = ChatData(str(tmp_path / "chat.jsonl"), seq_len=8, vocab_size=400, batch_size=4)
    data.setup()
    assert "conversations are longer than seq_len (8) and lose their end" in caplog.text
