import json

from moshi_zoo.data.cleaning.bloom import BloomFilter
from moshi_zoo.data.cleaning.duplicates import DropPieces, SeenBefore
from moshi_zoo.data.cleaning.judgement import Length
from moshi_zoo.data.cleaning.pipeline import Pipeline


def pipeline(**options):
    lines = DropPieces("lines", SeenBefore(BloomFilter(100_000, 7)), unit="line")
    return Pipeline([lines, Length(4)], **options)


TEXTS = ["first\nsecond", "first\nthird", "abc", "first", "fourth"]


def test_documents_pass_all_steps_in_order():
    assert list(pipeline()(TEXTS)) == ["first\nsecond", "third", "fourth"]


def test_documents_pass_one_by_one():
    taken = []
    cleaned = pipeline()(taken.append(text) or text for text in TEXTS)
    assert next(cleaned) == "first\nsecond"
    assert taken == TEXTS[:1]


def test_the_report_counts_what_went_and_why():
    p = pipeline()
    list(p(TEXTS))
    report = json.loads(p.as_json(command="here"))
    assert report["command"] == "here"
    lines, length = report["steps"]
    assert (lines["documents_in"], lines["documents_out"]) == (5, 4)
    assert (length["documents_in"], length["documents_out"]) == (4, 3)
    assert lines["characters_in"] == sum(map(len, TEXTS))
    assert lines["characters_out"] == length["characters_in"]
    assert lines["reasons"] == {"line seen before": {"pieces": 2, "characters": 10, "examples": ["first", "first"]}}
    assert length["reasons"]["shorter than 4 characters"]["examples"] == ["abc"]
    assert lines["settings"]["remembered"] == 5
    head, *rows = p.table()
    assert {len(row) for row in rows} == {len(head)}
    assert rows[-1][:2] == ["left", "3"]


def test_examples_are_few_drawn_from_all_and_the_same_for_a_seed():
    def examples(seed):
        p = Pipeline([Length(1000)], seed=seed)
        assert not list(p(f"text {i}" for i in range(200)))
        (reason,) = p.reports[0].reasons.values()
        assert reason.pieces == 200
        return reason.examples

    assert examples(0) == examples(0) != examples(1)
    drawn = [int(text.split()[1]) for seed in range(8) for text in examples(seed)]
    assert len(drawn) == 40
    assert 60 < sum(drawn) / 40 < 140


def test_long_examples_are_shortened():
    p = Pipeline([Length(1000)])
    list(p(["x" * 900]))
    (reason,) = p.reports[0].reasons.values()
    assert len(reason.examples[0]) == 201
