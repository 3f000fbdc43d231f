"""``evaluate text``, with a language model of random weights."""

import json
from itertools import islice
from pathlib import Path

import pytest

from moshi_zoo import registry
from moshi_zoo.cli import evaluate_text
from moshi_zoo.data.dialogues import dialogues
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.zoo import folder


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train((d.text for d in islice(dialogues(), 200)), vocab_size=330)


@pytest.fixture
def home(tmp_path, monkeypatch, tokenizer):
    """A folder to run in, with the language model ``tiny``, one without a tokenizer, and little embedded text."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluate_text, "_BASELINE_DIALOGUES", 50)
    net = registry.build("helium-tiny", vocab_size=tokenizer.vocab_size)
    spec = registry.to_portable(registry.preset("helium-tiny"))
    spec["init_args"]["vocab_size"] = tokenizer.vocab_size
    folder.save(tmp_path / "checkpoints/tiny", spec, net.state_dict(), stage="test", tokenizer=tokenizer)
    folder.save(tmp_path / "checkpoints/mute", spec, net.state_dict(), stage="test")
    return tmp_path


def results():
    return json.loads(Path("runs/evaluations/tiny/text/results.json").read_text())


def test_with_nothing_given_the_embedded_dialogues_are_all_there_is_to_say(home, moshi_zoo):
    code, out, err = moshi_zoo("evaluate", "text", "--model", "tiny", "--max-items", 12)
    assert code == 0, err
    assert out.splitlines()[-1] == "written to runs/evaluations/tiny/text"
    found = results()
    assert found["counts"]["documents"] == 12
    assert found["counts"]["baseline_bytes"] > 1000
    names = [figure["name"] for figure in found["figures"]]
    assert names[:4] == ["bits_per_byte_model", "bits_per_byte_ngram_tokens", "bits_per_byte_ngram_bytes", "saved"]
    assert {group["group"] for group in found["minimal_pairs"]} > {"all", "sums", "echo"}
    assert found["multiple_choice"][0]["chance"] == 0.25
    assert found["run"]["command"] == "python -m moshi_zoo evaluate text --model tiny --max-items 12"
    assert found["settings"]["window"] == 32
    assert found["skipped"] == {}


def test_files_are_measured_and_only_they(home, moshi_zoo):
    Path("a.txt").write_text("a text\n" * 9)
    Path("b.jsonl").write_text('{"text": "another text"}\n')
    Path("pairs.jsonl").write_text('{"sentence_good": "he sings", "sentence_bad": "he sing"}\n' * 3)
    words = ["--data", "a.txt", "b.jsonl", "--pairs", "pairs.jsonl", "--baseline", "a.txt", "--out", "here"]
    code, _, err = moshi_zoo("evaluate", "text", "--model", "tiny", *words)
    assert code == 0, err
    found = json.loads(Path("here/results.json").read_text())
    assert found["counts"] | {"tokens": 0} == {"documents": 2, "bytes": 75, "tokens": 0, "baseline_bytes": 63}
    assert found["minimal_pairs"][0]["figures"][0]["count"] == 3
    assert found["skipped"].keys() == {"multiple choice"}
    assert found["run"]["command"].split()[3:] == ["evaluate", "text", "--model", "tiny", *words[:3], *words[3:]]


def test_wrong_use_is_refused_with_the_reason_and_leaves_nothing(home, moshi_zoo):
    Path("broken.jsonl").write_text('{"sentence_good": "only one"}\n')
    codec = registry.build("mimi-tiny")
    spec = registry.to_portable(registry.preset("mimi-tiny"))
    folder.save(Path("checkpoints/codec"), spec, codec.state_dict(), stage="test")
    cases = [
        (["--model", "mute"], "has no tokenizer.model"),
        (["--model", "codec"], "codec is a mimi, which is no text language model"),
        (["--data", "nowhere.txt"], "nowhere.txt does not exist"),
        (["--pairs", "broken.jsonl"], "has no two sentences"),
        (["--max-items", "0"], "must be positive"),
        (["--window", "1"], "window of 1"),
    ]
    for words, message in cases:
        code, _, err = moshi_zoo("evaluate", "text", "--model", "tiny", *words)
        assert code == 2, (words, err)
        assert message in err, words
        assert "Traceback" not in err
    assert not Path("runs").exists()
