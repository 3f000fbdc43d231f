import pytest

from moshi_zoo.data.cleaning.bloom import BloomFilter
from moshi_zoo.data.cleaning.classifier import TextClassifier
from moshi_zoo.data.cleaning.duplicates import DropPieces, LooksLike, SeenBefore


class Shouting(TextClassifier):
    def probabilities(self, text):
        return {"shout": float(text.isupper())}


def lines(**options):
    memory = BloomFilter.sized_for(1000, false_positives=1e-6)
    return DropPieces("lines", SeenBefore(memory, min_chars=options.pop("min_chars", 1)), unit="line", **options)


def blocks(min_run=3):
    return DropPieces("blocks", LooksLike(Shouting(), ["shout"]), unit="line", min_run=min_run)


def test_a_line_seen_before_goes_whatever_its_spaces():
    step = lines()
    assert step("one\ntwo").text == "one\ntwo"
    cleaned = step("three\n  one \nfour\nthree")
    assert cleaned.text == "three\nfour"
    assert [cut.text for cut in cleaned.cuts] == ["  one ", "three"]
    assert {cut.reason for cut in cleaned.cuts} == {"line seen before"}


def test_a_document_of_old_lines_goes_as_a_whole():
    step = lines()
    step("one\ntwo")
    assert step("two\n\none").text is None


def test_a_document_that_would_keep_little_goes_as_a_whole():
    step = lines(min_kept=0.5)
    step("a long line that everybody has")
    cleaned = step("a long line that everybody has\nnew")
    assert cleaned.text is None
    assert cleaned.cuts[-1].reason == "most lines seen before"


def test_short_lines_are_never_duplicates():
    step = lines(min_chars=5)
    assert step("yes\nperhaps\nyes\nperhaps").text == "yes\nperhaps\nyes"


def test_paragraphs_are_compared_as_wholes():
    step = DropPieces("p", SeenBefore(BloomFilter(10_000, 5)), unit="paragraph")
    assert step("a\nb\n\nc\n \nd").text == "a\nb\n\nc\n \nd", "what is not touched stays as it was"
    assert step("a\nb\n\na\n\nd").text == "a"


def test_only_runs_of_flagged_lines_go_and_blank_lines_do_not_break_them():
    text = "so\nA\nB\nthen\nC\n\nD\nE\nend"
    assert blocks()(text).text == "so\nA\nB\nthen\n\nend"
    assert blocks(min_run=2)(text).text == "so\nthen\n\nend"
    assert blocks(min_run=4)(text).text == text


def test_a_run_may_stand_at_either_end():
    assert blocks()("A\nB\nC\nx").text == "x"
    assert blocks()("x\nA\nB\nC").text == "x"


def test_the_filter_is_described():
    step = lines()
    step("one\ntwo\none")
    settings = step.settings()
    assert settings["remembered"] == 2
    assert 0 < settings["expected_false_positives"] < 1e-6
    assert settings["hashes"] == 20


def test_senseless_settings_are_refused():
    with pytest.raises(ValueError, match="min_run is 0"):
        lines(min_run=0)
