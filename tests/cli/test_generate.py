"""The verb that continues texts."""

import io
import itertools
import json
from functools import partial
from pathlib import Path

import pytest
import torch

from moshi_zoo import registry
from moshi_zoo.cli import generate as verb
from moshi_zoo.models import generation
from moshi_zoo.modules import quantised_layers
from moshi_zoo.runtime import compiled
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.zoo import folder

WORDS = "the quick brown fox jumps over a lazy dog while snow falls on the märchenwald near olomouc"


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train([WORDS] * 3, vocab_size=296)


@pytest.fixture
def net(tmp_path, monkeypatch, tokenizer):
    """A model with a few ids more than its tokenizer, in the folder `model`; the current folder."""
    monkeypatch.chdir(tmp_path)
    spec = registry.preset("helium-tiny")
    spec["init_args"]["vocab_size"] = 300
    net = registry.instantiate(spec)
    folder.save(Path("model"), registry.to_portable(spec), net.state_dict(), stage="test", tokenizer=tokenizer)
    return net


def expected(net, tokenizer, text, **settings):
    prompt = [tokenizer.bos, *tokenizer.encode(text)]
    (added,) = generation.continuations(generation.generate(net, [prompt], eos=tokenizer.eos, **settings), 1)
    return tokenizer.decode([token for token in added if token < tokenizer.vocab_size])


def test_a_prompt_is_continued_as_the_model_continues_it(moshi_zoo, net, tokenizer):
    options = {"max_tokens": 12, "temperature": 0.9, "top_k": 40, "top_p": 0.9, "seed": 5}
    words = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", value)]
    code, out, err = moshi_zoo("generate", "--model", "model", "--prompt", "the quick", *words)
    assert (code, err) == (0, "")
    assert out == "the quick" + expected(net, tokenizer, "the quick", **options) + "\n"


def test_the_weights_may_have_fewer_bits(moshi_zoo, net, tokenizer, monkeypatch):
    monkeypatch.setattr(quantised_layers, "quantise", partial(quantised_layers.quantise, smallest=1))
    options = ("--prompt", "the quick", "--max-tokens", 8, "--temperature", 0)
    code, out, _ = moshi_zoo("generate", "--model", "model", "--weights", "float16", *options)
    assert code == 0
    quantised_layers.quantise(net, "float16")
    assert out == "the quick" + expected(net, tokenizer, "the quick", max_tokens=8) + "\n"


@pytest.mark.parametrize("weights", [None, "int8"])
def test_steps_may_be_compiled(moshi_zoo, net, tokenizer, monkeypatch, weights):
    monkeypatch.setattr(compiled, "_BACKEND", "eager")  # the same graphs, without a C++ compiler
    monkeypatch.setattr(compiled, "_missing", lambda: None)
    monkeypatch.setattr(quantised_layers, "quantise", partial(quantised_layers.quantise, smallest=1))
    torch._dynamo.reset()
    options = ["--prompt", "the quick", "--max-tokens", 40, "--temperature", 0]
    if weights:
        options += ["--weights", weights]
        quantised_layers.quantise(net, weights)
    code, out, err = moshi_zoo("generate", "--model", "model", "--compile", "always", *options)
    assert code == 0, err
    assert out == "the quick" + expected(net, tokenizer, "the quick", max_tokens=40) + "\n"
    assert err.splitlines()[0] == "compiling the step of a token ..."


def test_standard_input_is_a_prompt_too(moshi_zoo, net, tokenizer, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("a lazy\n"))
    code, out, _ = moshi_zoo("generate", "--model", "model", "--temperature", 0, "--max-tokens", 5)
    assert code == 0
    assert out == "a lazy" + expected(net, tokenizer, "a lazy", max_tokens=5) + "\n"


@pytest.mark.parametrize("name", ["prompts.txt", "prompts.jsonl"])
def test_the_lines_of_a_file_come_out_like_each_alone(moshi_zoo, net, tokenizer, name):
    texts = ["the quick", "snow falls on the märchenwald near", ""]
    if name.endswith(".jsonl"):
        Path(name).write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    else:
        Path(name).write_text("\n".join(texts))
        texts.pop()  # an empty line is no prompt
    code, out, _ = moshi_zoo("generate", "--model", "model", "--prompts", name, "--temperature", 0, "--max-tokens", 6)
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines == [{"prompt": text, "continuation": expected(net, tokenizer, text, max_tokens=6)} for text in texts]


def test_what_was_written_along_is_the_whole_text_although_characters_come_in_bytes(capsys, tokenizer):
    text = " näher 𝄞 ☃ fox"
    verb._write_along("the", iter(tokenizer.encode(text)), verb._Spelling(tokenizer.encode("the"), tokenizer))
    assert capsys.readouterr().out == f"the{text}\n"


def test_a_text_appears_as_it_is_written(monkeypatch, tokenizer):
    written = io.StringIO()
    monkeypatch.setattr("sys.stdout", written)

    def tokens():
        for token in tokenizer.encode(" lazy dog"):
            yield token
            seen.append(written.getvalue())

    seen = []
    verb._write_along("a", tokens(), verb._Spelling(tokenizer.encode("a"), tokenizer))
    assert all(len(early) < len(late) for early, late in itertools.pairwise(seen))
    assert written.getvalue() == "a lazy dog\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--prompt", "a", "--prompts", "b.txt"], "exclude each other"),
        (["--prompts", "none.txt"], "none.txt: No such file"),
        (["--prompts", "empty.txt"], "empty.txt is empty"),
        (["--prompts", "bad.jsonl"], "bad.jsonl, line 2"),
        (["--prompt", "a", "--top-p", "0"], "top_p (0.0) must be above 0"),
        (["--prompt", "a", "--max-tokens", "0"], "max_tokens (0) must be at least 1"),
        (["--prompt", "a", "--device", "moon"], "device 'moon' cannot be used"),
    ],
)
def test_wrong_use_is_told_in_a_line(moshi_zoo, net, words, message):
    Path("empty.txt").write_text("\n")
    Path("bad.jsonl").write_text('{"prompt": "a"}\n{"text": "b"}\n')
    code, out, err = moshi_zoo("generate", "--model", "model", *words)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not out


def test_a_codec_cannot_write(moshi_zoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = registry.preset("mimi-tiny")
    folder.save(Path("codec"), registry.to_portable(spec), registry.instantiate(spec).state_dict(), stage="test")
    code, _, err = moshi_zoo("generate", "--model", "codec", "--prompt", "a")
    assert code == 2
    assert "codec is a mimi, which is no text language model" in err
