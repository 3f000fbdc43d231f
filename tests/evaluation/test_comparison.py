"""Results of several models side by side."""

import json

import pytest

from moshi_zoo.__main__ import main
from moshi_zoo.evaluation.comparison import read_result, side_by_side

RIGHT = {"name": "answers_right", "title": "answers right", "unit": "share", "better": "higher", "count": 9}
GAP = {"name": "gap", "title": "reply gap", "unit": "s", "better": "neither", "count": 9}


def write(folder, right, *, suite="duplex", dialogues=9, gap=None):
    figures = [{**RIGHT, "value": right, "low": right / 2, "high": 1.0}]
    figures += [{**GAP, "value": gap}] if gap is not None else []
    groups = [{"name": "sums", "figures": []}, {"name": "all", "figures": figures}]
    data = {"stores": f"{folder.name}/store", "split": "valid", "dialogues": dialogues}
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps({"suite": suite, "data": data, "groups": groups}))
    return folder


def test_a_row_for_each_model_and_a_column_for_each_measure(tmp_path, capsys):
    folders = [write(tmp_path / "all", 0.8, gap=0.25), write(tmp_path / "no_text", 0.4)]
    assert main(["evaluate", "compare", *map(str, folders), "--out", str(tmp_path / "t" / "table.md")]) == 0
    table = capsys.readouterr().out
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if "---" not in line] == [
        ["duplex", "answers right ↑", "reply gap, s"],
        ["all", "80.0 % [40.0, 100.0]", "0.25"],
        ["no_text", "40.0 % [20.0, 100.0]", "-"],
    ]
    assert (tmp_path / "t" / "table.md").read_text() == table
    assert side_by_side([read_result(folder) for folder in folders], ["gap"])[0] == ["duplex", "reply gap, s"]


def test_what_was_measured_otherwise_is_not_compared(tmp_path):
    first, other, fewer = (
        read_result(write(tmp_path / name, 0.5, suite=suite, dialogues=count))
        for name, suite, count in [("a", "duplex", 9), ("b", "asr", 9), ("c", "duplex", 3)]
    )
    for result in (other, fewer):
        with pytest.raises(ValueError, match="compare what was measured alike"):
            side_by_side([first, result])
    with pytest.raises(ValueError, match="no measure is called 'gap'"):
        side_by_side([first], ["gap"])


def test_folders_without_results_are_refused(tmp_path, capsys):
    assert main(["evaluate", "compare", str(tmp_path)]) == 2
    assert "has no results.json" in capsys.readouterr().err
    (tmp_path / "results.json").write_text('{"suite": "codec"}')
    assert main(["evaluate", "compare", str(tmp_path)]) == 2
    assert "is not what `evaluate duplex`, asr or tts writes" in capsys.readouterr().err
