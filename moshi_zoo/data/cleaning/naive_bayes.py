"""A classifier that learns from examples in a moment: naive Bayes over letter n-grams (Cavnar and Trenkle 1994)."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from moshi_zoo.data.cleaning.classifier import TextClassifier
from moshi_zoo.data.plain_documents import documents
from moshi_zoo.data.text_files import LineReport

_UNSEEN = 0.5  # count of an n-gram that a label does not have
_MAX_BAD_SHARE = 0.1
_LONGEST = 2000  # characters of a text that are looked at


class NaiveBayes(TextClassifier):
    """Learns labels from example files: languages, good and poor text, boilerplate and content.

    Args:
        files: label -> a text file, folder or glob with examples of it.
        length: of the n-grams.

    Raises:
        ValueError: if there are fewer than two labels, or a label has no text.
    """

    def __init__(self, files: dict[str, Path], length: int = 3):
        self._learn({label: documents([source], LineReport(_MAX_BAD_SHARE)) for label, source in files.items()}, length)

    @classmethod
    def from_texts(cls, examples: Mapping[str, Iterable[str]], *, length: int = 3) -> "NaiveBayes":
        """Learn from texts at hand: label -> texts."""
        self = cls.__new__(cls)
        self._learn(examples, length)
        return self

    def _learn(self, examples: Mapping[str, Iterable[str]], length: int) -> None:
        if len(examples) < 2 or length < 1:
            raise ValueError(f"NaiveBayes has {len(examples)} labels and n-grams of {length}: it needs 2 and 1")
        counts = {label: Counter(g for t in texts for g in _grams(t, length)) for label, texts in examples.items()}
        if empty := [label for label, count in counts.items() if not count]:
            raise ValueError(f"NaiveBayes has no text to learn {empty[0]!r} from")
        known = set().union(*counts.values())
        self._length, self._log = length, {}
        for label, count in counts.items():
            total = math.log(count.total() + _UNSEEN * len(known))
            self._log[label] = {gram: math.log(count[gram] + _UNSEEN) - total for gram in known}

    def probabilities(self, text: str) -> dict[str, float]:
        """All labels, by Bayes' rule with equal priors."""
        grams = [g for g in _grams(text[:_LONGEST], self._length) if g in next(iter(self._log.values()))]
        if not grams:
            return {}
        # Neighbouring n-grams share all letters but one: as evidence, n of them are about one.
        evidence = {label: sum(map(log.__getitem__, grams)) / self._length for label, log in self._log.items()}
        most = max(evidence.values())
        odds = {label: math.exp(value - most) for label, value in evidence.items()}
        return {label: value / sum(odds.values()) for label, value in odds.items()}


def _grams(text: str, length: int) -> Iterable[str]:
    text = f" {' '.join(text.lower().split())} "
    return (text[i : i + length] for i in range(len(text) - length + 1)) if text.strip() else ()
