"""The few figures of an evaluation that a model card shows."""

import json

import pytest

from moshi_zoo.evaluation.highlights import highlights


def figure(name, value, **more):
    plain = {"unit": "", "better": "higher", "num_codebooks": None, "level": None, "count": 3}
    return {"name": name, "title": name.upper(), "value": value, **plain, **more}


def write(folder, **content):
    about = {"model": {"sha256": "a"}, "data": {"split": "test"}, "run": {"command": "evaluate"}}
    (folder / "results.json").write_text(json.dumps({"suite": "x", **about, **content}))
    return folder


def test_a_codec_is_shown_at_all_codebooks_and_over_all_levels(tmp_path):
    figures = [figure("stoi", 0.5, num_codebooks=1), figure("stoi", 0.75, num_codebooks=8), figure("abx", 0.1)]
    found = highlights(write(tmp_path, figures=[*figures, figure("abx", 0.2, level=1)]), ["stoi", "abx"])
    assert found.table[1:] == [["STOI ↑", "0.75", "3"], ["ABX ↑", "0.1", "3"]]
    assert (found.suite, found.command, found.sha256s) == ("x", "evaluate", {"a"})


def test_conversations_are_shown_together_and_beside_what_is_possible(tmp_path):
    groups = [
        {"name": "all", "figures": [figure("right", 0.5)], "as_written": [figure("right", 1.0)]},
        {"name": "sums", "figures": [figure("right", 0.25)]},
    ]
    items = [{"name": "all", "figures": [figure("right", 0.0)]}]
    found = highlights(write(tmp_path, groups=groups, conversations=items) / "results.json", ["right"])
    assert found.table[1:] == [["RIGHT ↑", "0.5", "3"], ["RIGHT ↑ (as written)", "1", "3"]]


def test_a_voice_is_shown_before_and_after_and_with_the_weights_of_both_models(tmp_path):
    content = {
        "adapter": {"sha256": "b"},
        "similarity": {"before": figure("similarity", 0.1, low=0.0, high=0.2), "after": figure("similarity", 0.6)},
        "closer": {"after": figure("closer", None)},
    }
    found = highlights(write(tmp_path, **content), ["similarity"])
    assert [row[:2] for row in found.table[1:]] == [
        ["SIMILARITY ↑ (before)", "0.1 [0, 0.2]"],
        ["SIMILARITY ↑ (after)", "0.6"],
    ]
    assert found.sha256s == {"a", "b"}
    with pytest.raises(ValueError, match="no measure is called 'closer'"):
        highlights(tmp_path, ["closer"])


@pytest.mark.parametrize("content", ["[]", "{", '{"suite": "x"}', '{"suite": "x", "model": 3, "data": {}, "run": {}}'])
def test_what_no_evaluation_has_written_is_refused(tmp_path, content):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(ValueError, match=r"results\.json is not what a suite of `evaluate` writes"):
        highlights(tmp_path, [])
