import pytest

from moshi_zoo.data.plain_documents import documents, write_documents
from moshi_zoo.data.text_files import LineReport

TEXTS = ["one\ntwo", "ü — 😀", 'with "quotes"']


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_documents_come_back_as_they_were_written(tmp_path, name):
    if name.endswith(".zst"):
        pytest.importorskip("zstandard")
    path = tmp_path / "new" / name
    write_documents(path, iter(TEXTS))
    assert list(documents([path], LineReport(0))) == TEXTS
    first = path.read_bytes()
    write_documents(path, TEXTS)
    assert path.read_bytes() == first
    assert [p.name for p in path.parent.iterdir()] == [name]


def test_an_interrupted_file_does_not_appear(tmp_path):
    def broken():
        yield "one"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_documents(tmp_path / "a.jsonl", broken())
    assert not list(tmp_path.iterdir())


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"jsonl\.zst"):
        write_documents(tmp_path / "a.txt", TEXTS)


def test_all_sources_are_looked_for_before_the_first_is_read(tmp_path):
    (tmp_path / "a.txt").write_text("here")
    with pytest.raises(ValueError, match="nowhere"):
        documents([tmp_path / "a.txt", tmp_path / "nowhere"], LineReport(0))
