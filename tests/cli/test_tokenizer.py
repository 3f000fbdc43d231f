"""The verb ``tokenizer``."""

from moshi_zoo.tokenizer import Tokenizer


def test_train_and_show(moshi_zoo, tmp_path):
    (tmp_path / "a.txt").write_text("one fish two fish\n")
    (tmp_path / "b.jsonl").write_text('{"text": "red fish, blue fish"}\n')
    out = tmp_path / "tokenizer.model"
    files = tmp_path / "a.txt", tmp_path / "b.jsonl"
    code, said, _ = moshi_zoo("tokenizer", "train", *files, "--vocab-size", 280, "--out", out)
    assert code == 0
    assert "280 pieces, 4 of them spare" in said
    assert Tokenizer.load(out).vocab_size == 280

    code, said, _ = moshi_zoo("tokenizer", "show", out, "two fish")
    *pieces, summary = said.splitlines()
    assert code == 0
    assert "".join(line.split()[1] for line in pieces) == "two\u2581fish"
    assert summary.startswith(f"{len(pieces)} of 280 pieces")


def test_wrong_use_is_explained(moshi_zoo, tmp_path):
    out = tmp_path / "tokenizer.model"
    code, _, error = moshi_zoo("tokenizer", "train", tmp_path / "a.txt", "--vocab-size", 280, "--out", out)
    assert code == 2
    assert "a.txt does not exist" in error
    (tmp_path / "a.txt").write_text("one fish")
    code, _, error = moshi_zoo("tokenizer", "train", tmp_path / "a.txt", "--vocab-size", 900, "--out", out)
    assert code == 2
    assert "too few pieces for a vocabulary of 900" in error
    code, _, error = moshi_zoo("tokenizer", "show", tmp_path / "a.txt", "one")
    assert code == 2
    assert "this is not a SentencePiece model" in error
    assert not out.exists()
