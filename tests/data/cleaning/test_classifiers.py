import sys
import types

import pytest

from moshi_zoo.data.cleaning.classifier import FastText
from moshi_zoo.data.cleaning.naive_bayes import NaiveBayes


def test_naive_bayes_learns_labels_from_files(tmp_path):
    (tmp_path / "sea.txt").write_text("the ship sailed over the waves to the harbour\n" * 3)
    (tmp_path / "food.txt").write_text("bake the bread with butter and sugar and eggs\n" * 3)
    learnt = NaiveBayes({"sea": tmp_path / "sea.txt", "food": tmp_path / "food.txt"})
    assert learnt.probabilities("a wave and a sail")["sea"] > 0.7
    assert learnt.probabilities("sugared eggs")["food"] > 0.8
    assert sum(learnt.probabilities("bread at sea").values()) == pytest.approx(1)
    assert learnt.probabilities("ßßß 42") == {}


def test_naive_bayes_follows_bayes_rule():
    learnt = NaiveBayes.from_texts({"a": ["xxy"], "b": ["yy"]}, length=1)
    # letters and the spaces around: a has " " 2, x 2, y 1; b has " " 2, y 2; three n-grams are known, 0.5 added to each
    a, b = 1.5 / 6.5 * (2.5 / 6.5) ** 2, 2.5 / 5.5 * (2.5 / 5.5) ** 2
    assert learnt.probabilities("y")["a"] == pytest.approx(a / (a + b))


def test_naive_bayes_needs_two_labels_with_text():
    with pytest.raises(ValueError, match="1 labels"):
        NaiveBayes.from_texts({"a": ["x"]})
    with pytest.raises(ValueError, match="learn 'b' from"):
        NaiveBayes.from_texts({"a": ["x y"], "b": [" "]})


def test_fasttext_is_asked_for_when_it_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "fasttext", None)
    with pytest.raises(ValueError, match="pip install fasttext"):
        FastText(tmp_path / "lid.ftz")


def test_fasttext_gives_its_labels_without_their_prefix(monkeypatch, tmp_path):
    asked = []

    class Inner:
        def predict(self, text, count, threshold, errors):
            asked.append((text, count))
            return [(1.00001, "__label__en"), (0.0, "__label__fr")]

    loaded = types.SimpleNamespace(f=Inner())
    monkeypatch.setitem(sys.modules, "fasttext", types.SimpleNamespace(load_model=lambda path: loaded))
    with pytest.raises(ValueError, match="no fastText model"):
        FastText(tmp_path / "lid.ftz")
    (tmp_path / "lid.ftz").touch()
    model = FastText(tmp_path / "lid.ftz")
    assert model.probabilities("two\nlines") == {"en": 1.0, "fr": 0.0}
    assert asked == [("two lines\n", -1)], "fastText takes one line"
    assert model.probabilities(" ") == {}
