"""``data clean``."""

import json
from pathlib import Path

import pytest

ENGLISH = "This is what the people of the town said when they were asked about it."


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """A folder to run in, with good, foreign, short and doubled documents."""
    monkeypatch.chdir(tmp_path)
    texts = [
        f"{ENGLISH}\n\nThe first has more to say than that.",
        "Das ist nicht, was die Leute in der Stadt gesagt haben.",
        "Too short, as it is.",
        f"{ENGLISH}\n\nThe second has something else to say, and it is long.",
        f"{ENGLISH}\n\nThe first has more to say than that.",
    ]
    Path("corpus.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return texts


def clean(moshi_zoo, *words):
    code, out, err = moshi_zoo("data", "clean", "corpus.jsonl", "--min-chars", 30, "--expected-pieces", 1000, *words)
    assert code == 0, err
    return out


def read(path):
    return [json.loads(line)["text"] for line in Path(path).read_text().splitlines()]


def test_a_corpus_is_cleaned_and_the_report_says_what_went(corpus, moshi_zoo):
    out = clean(moshi_zoo, "--out", "clean.jsonl")
    assert read("clean.jsonl") == [corpus[0], "The second has something else to say, and it is long."]
    report = json.loads(Path("clean.jsonl.report.json").read_text())
    assert [step["name"] for step in report["steps"]] == ["language", "paragraphs", "quality", "length"]
    assert report["steps"][0]["reasons"]["rather de"]["examples"] == [corpus[1]]
    assert report["steps"][1]["reasons"]["paragraph seen before"]["pieces"] == 3
    assert report["steps"][3]["reasons"]["shorter than 30 characters"]["examples"] == [corpus[2]]
    assert report["lines"]["read"] == 5
    assert "rather de" in out
    assert "written to clean.jsonl" in out


def test_steps_can_be_chosen_and_their_order(corpus, moshi_zoo):
    clean(moshi_zoo, "--out", "clean.jsonl", "--steps", "length,lines", "--min-kept", 0, "--report", "r.json")
    assert read("clean.jsonl")[0] == corpus[0]
    assert len(read("clean.jsonl")) == 3
    assert [step["name"] for step in json.loads(Path("r.json").read_text())["steps"]] == ["length", "lines"]


def test_a_classifier_can_be_learnt_from_files(corpus, moshi_zoo):
    Path("en.txt").write_text(ENGLISH)
    Path("de.txt").write_text(corpus[1])
    files = ["--language-classifier", "NaiveBayes", "--language-classifier.files", "{en: en.txt, de: de.txt}"]
    clean(moshi_zoo, "--out", "clean.jsonl", "--steps", "language", *files)
    assert corpus[1] not in read("clean.jsonl")
    assert corpus[0] in read("clean.jsonl")


def test_boilerplate_goes_in_blocks(tmp_path, monkeypatch, moshi_zoo):
    monkeypatch.chdir(tmp_path)
    menu = "log in here\nsign up here\nread the terms here"
    Path("corpus.jsonl").write_text(json.dumps({"text": f"{menu}\n{ENGLISH}\nlog in here\n{ENGLISH}"}) + "\n")
    Path("menu.txt").write_text(menu)
    Path("text.txt").write_text(ENGLISH)
    files = ["--block-classifier", "NaiveBayes", "--block-classifier.files", "{boilerplate: menu.txt, x: text.txt}"]
    clean(moshi_zoo, "--out", "clean.jsonl", "--steps", "blocks", *files)
    assert read("clean.jsonl") == [f"{ENGLISH}\nlog in here\n{ENGLISH}"]


def test_wrong_use_is_refused_with_the_reason(corpus, moshi_zoo):
    cases = [
        (["--out", "clean.txt"], "write to a name that ends in .jsonl"),
        (["--out", "corpus.jsonl"], "would be read and written"),
        (["--out", "c.jsonl", "--steps", "language,lenght"], "did you mean length"),
        (["--out", "c.jsonl", "--false-positives", 2], "false positives"),
        (
            [
                "--out",
                "c.jsonl",
                "--language-classifier",
                "NaiveBayes",
                "--language-classifier.files",
                "{a: corpus.jsonl}",
            ],
            "1 labels",
        ),
        (["--out", "c.jsonl", "--language-classifier", "Fasttext"], "FastText"),
        ([], "out not given"),
    ]
    for words, message in cases:
        code, _, err = moshi_zoo("data", "clean", "corpus.jsonl", *words)
        assert code == 2, (words, err)
        assert message in err, (words, err)
        assert "Traceback" not in err
    code, _, err = moshi_zoo("data", "clean", "nowhere", "--out", "c.jsonl")
    assert (code, "nowhere does not exist" in err) == (2, True)
    assert sorted(path.name for path in Path().iterdir()) == ["corpus.jsonl"]


def test_a_tool_must_be_named(moshi_zoo):
    code, _, err = moshi_zoo("data", "cleen")
    assert code == 2
    assert "clean" in err
