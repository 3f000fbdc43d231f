"""Compiled steps say what plain ones say. Most of it shows without a C++ compiler: the graphs are the same."""

import copy
import shutil

import pytest
import torch

from moshi_zoo.runtime import compiled
from moshi_zoo.runtime.compiled import CannotCompile, shall_compile
from moshi_zoo.runtime.conversations import Conversations, Hooks, TalkSettings
from tests.runtime.pairs import conversations, pair
from tests.runtime.test_conversations import coded, user

CPU = torch.device("cpu")
GREEDY = TalkSettings(text_temperature=0, audio_temperature=0)
LIVELY = TalkSettings(text_temperature=1.0, audio_temperature=1.0, audio_top_k=0, seed=5)
EVERY_TOKEN = TalkSettings(text_temperature=1.0, text_top_k=0, audio_temperature=1.0, seed=6)


@pytest.fixture(scope="module")
def traced():
    """Three places for conversations whose steps are graphs, without code; nobody is there."""
    torch._dynamo.reset()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(compiled, "_BACKEND", "eager")
        talk = _compiled([])
    talk.warm_up()
    return talk


def _compiled(told):
    made = pair()
    codec = copy.deepcopy(made.codec)  # a compiled step keeps its entries as they are
    return Conversations(made.moshi, codec, made.tokenizer, max_sessions=3, compiling=told.append)


def busy(talk):
    """What three conversations of different kinds say that come, pause, are told what to say, and go."""
    said, sound = {}, user(12)

    def step(heard):
        for row, spoken in talk.step(heard).items():
            said.setdefault(row, []).append(spoken)

    first = talk.join(GREEDY)
    for i in range(3):
        step({first: sound[i]})
    second, third = talk.join(LIVELY), talk.join(TalkSettings(mode="tts", seed=2))
    step({first: sound[3], second: sound[3], third: None})
    step({second: sound[4]})
    talk.tell(second, text=7)
    step({first: None, second: coded(1)[0], third: None})
    talk.leave(third)
    fourth = talk.join(TalkSettings(mode="asr", seed=3))
    for i in range(6, 9):
        step({first: sound[i], fourth: sound[i]})
    talk.reset(first, LIVELY)
    step({first: sound[9], second: sound[9]})
    for row in (first, second, fourth):
        talk.leave(row)
    return said


def the_same(plain, fast):
    assert plain.keys() == fast.keys()
    for row in plain:
        assert [s.text for s in plain[row]] == [s.text for s in fast[row]]
        for one, other in zip(plain[row], fast[row], strict=True):
            assert (one.codes is None) == (other.codes is None)
            if one.codes is not None:
                torch.testing.assert_close(one.codes, other.codes)
                torch.testing.assert_close(one.wav, other.wav, atol=1e-4, rtol=1e-3)


def test_compiled_steps_say_what_plain_ones_say_and_nothing_is_compiled_twice(traced):
    with torch._dynamo.config.patch(error_on_recompile=True):
        fast = busy(traced)
    the_same(busy(conversations(3)), fast)


def test_hooks_and_draws_among_all_tokens_go_the_plain_way(traced):
    def said(talk):
        rows = talk.join(EVERY_TOKEN), talk.join(GREEDY, hooks=Hooks(on_text=lambda token: 9))
        try:
            return [talk.step({row: user(4)[i] for row in rows}) for i in range(4)]
        finally:
            for row in rows:
                talk.leave(row)

    plain, fast = said(conversations(3)), said(traced)
    for one, other in zip(plain, fast, strict=True):
        the_same({row: [spoken] for row, spoken in one.items()}, {row: [spoken] for row, spoken in other.items()})
    assert fast[0][1].text == 9


@pytest.mark.large
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler g++")
def test_compiled_code_says_what_plain_steps_say():
    torch._dynamo.reset()
    told = []
    talk = _compiled(told)
    talk.warm_up()
    assert [line.split(" in ")[0] for line in told[1::2]] == [
        "compiled Moshi's step",
        "compiled the codec's encoder",
        "compiled the codec's decoder",
    ]
    with torch._dynamo.config.patch(error_on_recompile=True):
        fast = busy(talk)
    the_same(busy(conversations(3)), fast)


def test_without_a_compiler_steps_are_plain_and_it_is_said_why(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    told = []
    assert not shall_compile("auto", CPU, max_sessions=2, tell=told.append)
    assert len(told) == 1
    assert "no-such-compiler" in told[0]
    with pytest.raises(CannotCompile, match="no-such-compiler"):
        shall_compile("always", CPU, tell=told.append)


def test_what_is_not_compiled_is_refused_only_where_it_must_be():
    told = []
    assert not shall_compile("auto", torch.device("cuda"), max_sessions=2, tell=told.append)
    assert not told
    with pytest.raises(CannotCompile, match="a step on cuda is not compiled, only one on a CPU: leave --compile away"):
        shall_compile("always", torch.device("cuda"), tell=told.append)


def test_code_that_cannot_be_made_is_the_users_to_hear(monkeypatch):
    monkeypatch.setattr(compiled, "_BACKEND", "eager")

    def looks_at_values(x):
        return x if x.sum().item() > 0 else -x

    with pytest.raises(CannotCompile, match="a part cannot be compiled here"):
        compiled.Compiled(looks_at_values, "a part", lambda line: None)(torch.ones(2))
