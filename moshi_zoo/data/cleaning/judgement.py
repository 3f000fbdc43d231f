"""Steps that keep or drop whole documents: by language, by quality, by length."""

from collections.abc import Sequence
from typing import Any

from moshi_zoo.data.cleaning.classifier import TextClassifier
from moshi_zoo.data.cleaning.step import Cleaned, dropped

_LANGUAGE_CHARACTERS = 5000  # enough to know a language by


class Language:
    """Keeps documents of one language.

    Args:
        classifier: names languages.
        language: its label.
        threshold: probability it must have (0.85: Moshi paper, 4.1).
    """

    name = "language"

    def __init__(self, classifier: TextClassifier, language: str = "en", *, threshold: float = 0.85):
        self.classifier, self.language, self.threshold = classifier, language, threshold

    def __call__(self, text: str) -> Cleaned:
        """Judge by the beginning of the document."""
        found = self.classifier.probabilities(text[:_LANGUAGE_CHARACTERS])
        if found.get(self.language, 0.0) >= self.threshold:
            return Cleaned(text)
        best = max(found, key=lambda label: found[label], default=None)
        return dropped(f"not surely {self.language}" if best in (self.language, None) else f"rather {best}", text)

    def settings(self) -> dict[str, Any]:
        """Which classifier, and how it decides."""
        return {"classifier": type(self.classifier).__name__, "language": self.language, "threshold": self.threshold}


class Quality:
    """Keeps documents whose lines are good: the mean over lines, weighted by their length (Moshi paper, 4.1).

    Args:
        classifier: judges each line.
        labels: the good ones; their probabilities add up.
        threshold: least mean.
    """

    name = "quality"

    def __init__(self, classifier: TextClassifier, labels: Sequence[str] = ("good",), *, threshold: float = 0.7):
        self.classifier, self.labels, self.threshold = classifier, tuple(labels), threshold

    def __call__(self, text: str) -> Cleaned:
        """Judge a document."""
        score = self.score(text)
        return Cleaned(text) if score >= self.threshold else dropped(f"score below {self.threshold:g}", text)

    def score(self, text: str) -> float:
        """Between 0 and 1; 0 for a blank text."""
        lines = [line for line in text.splitlines() if line.strip()]
        found = [self.classifier.probabilities(line) for line in lines]
        good = [sum(f.get(label, 0.0) for label in self.labels) for f in found]
        total = sum(map(len, lines))
        return sum(g * len(line) for g, line in zip(good, lines, strict=True)) / total if total else 0.0

    def settings(self) -> dict[str, Any]:
        """Which classifier, and how it decides."""
        return {"classifier": type(self.classifier).__name__, "labels": list(self.labels), "threshold": self.threshold}


class Length:
    """Keeps documents that are long enough to learn from.

    Args:
        min_chars: fewest characters (500: Helium-1).
    """

    name = "length"

    def __init__(self, min_chars: int = 500):
        self.min_chars = min_chars

    def __call__(self, text: str) -> Cleaned:
        """Judge a document."""
        enough = len(text.strip()) >= self.min_chars
        return Cleaned(text) if enough else dropped(f"shorter than {self.min_chars} characters", text)

    def settings(self) -> dict[str, Any]:
        """The limit."""
        return {"min_chars": self.min_chars}
