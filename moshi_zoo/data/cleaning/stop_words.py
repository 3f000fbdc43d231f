"""Language by function words: nine European languages, offline, with nothing to download."""

import re
from collections import Counter

from moshi_zoo.data.cleaning.classifier import TextClassifier

_WORD = re.compile(r"[^\W\d_]+")
_LATIN = re.compile(r"[a-zà-öø-ÿœœßąćęłńśźżğışțș]")
_TIMES_AS_LIKELY = 100.0
_ENOUGH = 0.15
"""Share of words that must be function words to be sure: below it, such as in a list of names, confidence falls."""

FUNCTION_WORDS = {
    "en": """the a i of and to in is was that it for on with as his they be at this have from or had by but not what
        all were we when your can there an which their if will about would you she he been has more who its are my
        me so him her do no then them our us up out how some just like yes ll ve""",
    "fr": """le la les de des du et est un une dans que qui pour pas sur au aux ce cette il elle nous vous ils avec
        par plus son sa ses mais ou où été être avait comme je ne se si leur même sont""",
    "de": """der die das und ist nicht ein eine einen dem den des mit sich auf für von zu im auch als an nach bei aus
        wie wenn aber noch nur war wird hat haben ich sie es wir dass oder durch um""",
    "es": """el la los las de del que y en un una es por con no para se su sus al lo como más pero o este esta fue
        ha ser son entre cuando muy sin sobre también hasta hay donde desde todo nos""",
    "it": """il lo la i gli le di che e è un una in non per con del della dei delle si da al alla come più ma anche
        sono nel nella questo questa suo sua era ha dal dalla ne ci quando""",
    "pt": """o a os as de do da dos das que e é em um uma não para com por se no na nos nas ao mais mas como foi seu
        sua ou ser quando muito já também só pelo pela até isso ela ele entre era""",
    "nl": """de het een en van in is dat op te zijn met voor niet aan er om ook als dan maar bij uit door naar heeft
        hij ze wij ik je wordt nog wel kan deze die dit over hun was""",
    "sv": """och att det i en som är av på för med den till inte har de ett om var jag men sig från vi så kan när
        eller nu även vid hade skulle mycket bara finns efter han hon man""",
    "pl": """i w na z do nie się to że jest o jak ale po co tak za od przez tylko był była było być dla czy już tego
        ich jego jej są może oraz ze ma który która które""",
}


class StopWords(TextClassifier):
    """Counts function words, as if a word of a language's list were a hundred times as likely there as elsewhere.

    Labels are ISO 639-1 codes, and ``other`` for letters that are not Latin. A language that is not among the nine is
    recognised by what it lacks: few function words give low probabilities for all.
    """

    def __init__(self) -> None:
        self._words = {language: frozenset(words.split()) for language, words in FUNCTION_WORDS.items()}
        self._any = frozenset().union(*self._words.values())

    def probabilities(self, text: str) -> dict[str, float]:
        """By the words of the whole text."""
        counts = Counter(_WORD.findall(text.lower()))
        if not counts:
            return {}
        hits = {language: sum(counts[word] for word in words) for language, words in self._words.items()}
        most = max(hits.values())
        odds = {language: _TIMES_AS_LIKELY ** float(count - most) for language, count in hits.items()}
        letters = "".join(counts)
        latin = len(_LATIN.findall(letters)) / len(letters)
        sure = latin * min(most / counts.total() / _ENOUGH, 1.0) / sum(odds.values())
        found = {language: sure * value for language, value in odds.items()}
        return {**found, "other": 1 - latin} if latin < 1 else found

    def share(self, text: str) -> float:
        """Share of words that are function words of any language."""
        words = _WORD.findall(text.lower())
        return sum(word in self._any for word in words) / len(words) if words else 0.0
