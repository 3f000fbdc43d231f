"""Quality without a model: does a line look like running text? After the rules of C4 and Gopher."""

import re

from moshi_zoo.data.cleaning.classifier import TextClassifier
from moshi_zoo.data.cleaning.stop_words import StopWords

_END = re.compile(r"[.!?…:;,]['\"”\u2019)\]]*$")


class Prose(TextClassifier):
    """Labels ``good`` and ``poor``: the share of simple tests that a line passes.

    The tests: mostly letters; words of usual length; some function words; mostly lower case; hardly a word again and
    again; an end that is punctuation. Right for languages that :class:`StopWords` knows.
    """

    def __init__(self) -> None:
        self._stop_words = StopWords()

    def probabilities(self, text: str) -> dict[str, float]:
        """For a line or a longer piece."""
        words = text.split()
        if not words:
            return {}
        solid = "".join(words)
        letters = [c for c in solid if c.isalpha()]
        passed = (
            len(letters) >= 0.75 * len(solid),
            2.5 <= len(solid) / len(words) <= 10,
            self._stop_words.share(text) >= 0.1,
            sum(map(str.isupper, letters)) <= 0.3 * len(letters),
            len({word.lower() for word in words}) >= 0.4 * len(words),
            bool(_END.search(text.rstrip())),
        )
        good = sum(passed) / len(passed)
        return {"good": good, "poor": 1 - good}
