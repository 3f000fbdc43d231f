"""What kind of text is this? The interface of language and quality classifiers, and fastText behind it."""

import importlib
from abc import ABC, abstractmethod
from pathlib import Path


class TextClassifier(ABC):
    """Judges a piece of text. Subclasses can be named on the command line."""

    @abstractmethod
    def probabilities(self, text: str) -> dict[str, float]:
        """Label -> probability. Labels that are left out have none; an empty dict: nothing can be said."""


class FastText(TextClassifier):
    """A model of the fastText package, such as lid.176.ftz for languages.

    Args:
        path: the .bin or .ftz file.

    Raises:
        ValueError: if the package or the file is missing.
    """

    def __init__(self, path: Path):
        try:
            fasttext = importlib.import_module("fasttext")
        except ImportError as error:
            raise ValueError(
                "FastText needs the package fasttext (`pip install fasttext-wheel`, or fasttext-predict); "
                "StopWords and NaiveBayes need nothing"
            ) from error
        if not path.is_file():
            raise ValueError(f"there is no fastText model {path}")
        self._model = fasttext.load_model(str(path))

    def probabilities(self, text: str) -> dict[str, float]:
        """All labels, without fastText's prefix ``__label__``."""
        line = " ".join(text.split())
        # The inner predict: the outer one makes arrays in a way that numpy 2 refuses.
        found = self._model.f.predict(line + "\n", -1, 0.0, "strict") if line else []
        return {label.removeprefix("__label__"): min(float(probability), 1.0) for probability, label in found}
