import json

import pytest

from moshi_zoo.data.text_documents import PlainText
from moshi_zoo.data.text_files import LineReport


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ({"text": "Good morning."}, "Good morning."),
        ({"turns": ["Hello.", "Hi."]}, "Hello.\nHi."),
        ({"turns": [{"role": "user", "text": "Hello."}, {"role": "assistant", "text": "Hi."}]}, "Hello.\nHi."),
    ],
)
def test_a_line_is_a_text_or_a_conversation(line, text, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(line))
    assert list(PlainText().read(path, LineReport(0.0))) == [text]


@pytest.mark.parametrize("line", [{"question": "who?"}, {"turns": "none"}, {"turns": [{"text": 3}]}, {"text": None}])
def test_other_lines_are_reported_with_what_is_there(line, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(line))
    report = LineReport(1.0)
    assert list(PlainText().read(path, report)) == []
    assert report.num_bad == 1
    assert f"there is '{next(iter(line))}'" in report.examples[0]
