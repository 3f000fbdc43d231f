"""Text files: found, unpacked, and their bad lines counted."""

import gzip
import json

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from moshi_zoo.data import text_files
from moshi_zoo.data.text_documents import PlainText
from moshi_zoo.data.text_files import LineReport, find_text, read_plain

PACK = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}


def _read(path, max_share=1.0):
    report = LineReport(max_share)
    return list(PlainText().read(path, report)), report


def _write(path, content=b"text"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_folders_patterns_and_files_are_found_in_order(tmp_path):
    for name in ("b.txt", "a.jsonl", "sub/c.txt.gz", "sub/d.jsonl.zst"):
        _write(tmp_path / name)
    for name in ("manifest.jsonl", ".hidden.txt", ".git/x.txt", "e.wav", "f.gz"):
        _write(tmp_path / name)

    def names(source):
        return [path.relative_to(tmp_path).as_posix() for path in find_text(source)]

    assert names(tmp_path) == ["a.jsonl", "b.txt", "sub/c.txt.gz", "sub/d.jsonl.zst"]
    assert names(f"{tmp_path}/**/*.txt*") == ["b.txt", "sub/c.txt.gz"]
    assert names(tmp_path / "manifest.jsonl") == ["manifest.jsonl"]  # asked for by name


@pytest.mark.parametrize(("name", "problem"), [("x", "does not exist"), ("e.wav", "no text"), ("*.txt", "no text")])
def test_a_source_without_text_is_refused(tmp_path, name, problem):
    _write(tmp_path / "e.wav")
    with pytest.raises(ValueError, match=problem):
        find_text(tmp_path / name)


@pytest.mark.parametrize("packing", PACK)
def test_packed_files_are_read_as_if_they_were_not(tmp_path, packing):
    texts = ["one", "two\n\n three ", "日本 \u2028 x"]
    lines = "\n\n".join(json.dumps({"text": text, "id": 3}, ensure_ascii=False) for text in texts)
    read, report = _read(_write(tmp_path / f"a.jsonl{packing}", PACK[packing](lines.encode())))
    assert read == texts
    assert (report.num_lines, report.num_bad) == (3, 0)
    read, _ = _read(_write(tmp_path / f"b.txt{packing}", PACK[packing](b"\xef\xbb\xbfone\r\n\r\ntwo\n")))
    assert read == ["one\n\ntwo\n"]


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_files_packed_one_after_the_other_are_read_to_the_end(tmp_path, packing):
    parts = [PACK[packing](json.dumps({"text": text}).encode() + b"\n") for text in ("one", "two", "three")]
    assert _read(_write(tmp_path / f"a.jsonl{packing}", b"".join(parts)))[0] == ["one", "two", "three"]


@pytest.mark.parametrize("packing", [".gz", ".zst"])
@pytest.mark.parametrize("cut", ["short", "middle"])
def test_a_damaged_file_is_reported(tmp_path, packing, cut):
    lines = b"".join(json.dumps({"text": str(i)}).encode() + b"\n" for i in range(3000))
    packed = PACK[packing](lines)
    damaged = packed[:-9] if cut == "short" else packed[: len(packed) // 2] + b"\0" * 40
    read, report = _read(_write(tmp_path / f"a.jsonl{packing}", damaged))
    assert read == [str(i) for i in range(len(read))]
    assert report.num_bad == 1
    assert "damaged" in report.examples[0]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"))), st.integers(1, 9))
def test_lines_do_not_depend_on_how_they_are_read(tmp_path_factory, lines, chunk):
    path = _write(tmp_path_factory.mktemp("x") / "a.txt", "\n".join(lines).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_files, "_CHUNK", chunk)
        read = list(text_files._lines(path, LineReport(0.0)))
    assert [line.decode() for _, line in read] == (lines or [""])
    assert [number for number, _ in read] == list(range(1, len(read) + 1))


def test_a_very_large_text_is_cut_at_the_end_of_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "_LARGEST_DOCUMENT", 10)
    text = "one\ntwo\nthree\nfour\nfive"
    read = list(read_plain(_write(tmp_path / "a.txt", text.encode()), LineReport(0.0)))
    assert read == ["one\ntwo\nthree\n", "four\nfive"]


def test_bad_lines_are_left_out_counted_and_listed(tmp_path):
    good = [json.dumps({"text": "good"}).encode()] * 4
    bad = [b"{", b"[1]", b'{"txt": "x"}', b'{"text": 3}', b'{"text": " "}', b'{"text": "\\ud800"}', b'{"text": "\xff"}']
    path = _write(tmp_path / "a.jsonl", b"\n".join(good[:2] + bad + good[2:]))
    report = LineReport(1.0, tmp_path / "bad.jsonl")
    assert list(PlainText().read(path, report)) == ["good"] * 4
    listed = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert [entry["line"] for entry in listed] == [3, 4, 5, 6, 7, 8, 9]
    assert report.num_lines == 11
    assert "there is 'txt'" in report.examples[2]
    report.max_share = 0.5
    with pytest.raises(
        ValueError, match=r"7 of 11 lines cannot be used, more than the 50% .*\n.*a\.jsonl:3: is no JSON"
    ):
        report.check()


def test_a_stray_byte_costs_a_line_of_a_text_and_no_more(tmp_path):
    read, report = _read(_write(tmp_path / "a.txt", b"one\ntw\xff\nthree"))
    assert read == ["one\nthree"]
    assert (report.num_bad, report.num_lines) == (1, 3)


def test_a_file_of_another_kind_stops_the_run_early(tmp_path):
    path = _write(tmp_path / "a.jsonl", b"no json\n" * 100_000)
    report = LineReport(0.1)
    with pytest.raises(ValueError, match="101 of 101 lines"):
        list(PlainText().read(path, report))
