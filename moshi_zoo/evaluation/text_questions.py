"""Questions to a language model that need no generation: which of several texts does it find more likely?

* Minimal pairs (BLiMP; Warstadt et al. 2020): a good sentence and a bad one that hardly differs.
* Multiple choice: a beginning and several ends.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from moshi_zoo.data.text_files import LineReport, read_objects
from moshi_zoo.evaluation.text_likelihood import Floats
from moshi_zoo.tokenizer import Tokenizer


@dataclass(frozen=True)
class Pair:
    """Two sentences.

    Args:
        good: what should be more likely.
        bad: than this.
        groups: names under which it counts, beside the whole.
    """

    good: str
    bad: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """A question with several answers.

    Args:
        context: what stands before the answers.
        choices: answers, each with the space or line break that joins it to the context.
        answer: which is right.
        groups: names under which it counts, beside the whole.
    """

    context: str
    choices: tuple[str, ...]
    answer: int
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What a model made of a question; a tie counts in part.

    Args:
        right: by the summed log-likelihood.
        right_by_length: by the log-likelihood for each byte of an answer; None for pairs.
        chance: what guessing gives.
        groups: of the question.
    """

    right: float
    right_by_length: float | None
    chance: float
    groups: tuple[str, ...]


Scorer = Callable[[Iterable[Sequence[int]]], Iterator[Floats]]
"""Log-likelihoods of the tokens of sequences but the first; see :func:`token_log_likelihoods`."""


def judge_pairs(score: Scorer, tokenizer: Tokenizer, pairs: Sequence[Pair]) -> list[Verdict]:
    """Compare whole sentences, without eos, by their summed log-likelihood."""
    sentences = (text for pair in pairs for text in (pair.good, pair.bad))
    sums = [float(found.sum()) for found in score([tokenizer.bos, *tokenizer.encode(text)] for text in sentences)]
    both = np.array(sums).reshape(-1, 2)
    return [
        Verdict(_share_of_best(values, 0), None, 0.5, pair.groups) for values, pair in zip(both, pairs, strict=True)
    ]


def judge_choices(score: Scorer, tokenizer: Tokenizer, questions: Sequence[Choice]) -> list[Verdict]:
    """Compare answers by their log-likelihood after the context, summed, and divided by their length in bytes.

    The context and an answer are encoded together. The answer begins at the first token in which the choices differ
    from each other or from the context, so that no choice is charged for more of the context than another.
    """
    encoded = [_encoded(tokenizer, question) for question in questions]
    found = score(tokens for rows, _ in encoded for tokens in rows)
    verdicts = []
    for question, (rows, shared) in zip(questions, encoded, strict=True):
        sums = np.array([next(found)[shared - 1 :].sum() for _ in rows])
        lengths = np.array([len(choice.encode()) for choice in question.choices])
        verdicts.append(
            Verdict(
                _share_of_best(sums, question.answer),
                _share_of_best(sums / lengths, question.answer),
                1 / len(rows),
                question.groups,
            )
        )
    return verdicts


def read_pairs(path: Path, report: LineReport) -> Iterator[Pair]:
    """Lines of BLiMP: ``sentence_good``, ``sentence_bad``, ``field``, ``UID``; or ``good``, ``bad``, and ``uid``."""
    for number, line in read_objects(path, report):
        good, bad = (line.get(f"sentence_{kind}", line.get(kind)) for kind in ("good", "bad"))
        if not (isinstance(good, str) and isinstance(bad, str) and good != bad):
            report.bad(path, number, "has no two sentences, sentence_good and sentence_bad")
            continue
        report.good()
        yield Pair(good, bad, _groups(line, "field", "UID", "uid"))


def read_choices(path: Path, report: LineReport) -> Iterator[Choice]:
    """Lines of ``context`` (or ``question``), ``choices``, and ``answer``: a choice, or its place from 0.

    A ``question`` is asked as ``Question: ...``, a new line, ``Answer:``; after either, choices are joined by a space
    unless they bring their own.
    """
    for number, line in read_objects(path, report):
        try:
            choice = _choice(line)
        except ValueError as problem:
            report.bad(path, number, str(problem))
        else:
            report.good()
            yield choice


def _choice(line: Mapping[str, Any]) -> Choice:
    context, question = line.get("context"), line.get("question")
    choices, answer = line.get("choices"), line.get("answer")
    if not isinstance(context, str) and not isinstance(question, str):
        raise ValueError("has neither context nor question")
    if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(c, str) and c.strip() for c in choices):
        raise ValueError("its choices are no list of two or more texts")
    place = choices.index(answer) if answer in choices else answer
    if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < len(choices):
        raise ValueError(f"its answer {answer!r} is neither one of its choices nor the place of one, from 0")
    if not isinstance(context, str):
        context = f"Question: {question}\nAnswer:"
    joined = tuple(c if c[0].isspace() or not context or context[-1].isspace() else f" {c}" for c in choices)
    return Choice(context, joined, place, _groups(line, "category", "family"))


def _groups(line: Mapping[str, Any], *names: str) -> tuple[str, ...]:
    return tuple(line[name] for name in names if isinstance(line.get(name), str))


def _encoded(tokenizer: Tokenizer, question: Choice) -> tuple[list[list[int]], int]:
    """Each choice with its context, and how many tokens all of them share with the context alone."""
    context = [tokenizer.bos, *tokenizer.encode(question.context)]
    rows = [[tokenizer.bos, *tokenizer.encode(question.context + choice)] for choice in question.choices]
    alike = takewhile(lambda column: len(set(column)) == 1, zip(context, *rows, strict=False))
    return rows, min(len(list(alike)), *(len(row) - 1 for row in rows))


def _share_of_best(values: Floats, right: int) -> float:
    """1 if the right one is best alone, less if it shares the first place, else 0."""
    best = np.flatnonzero(values == values.max())
    return float(right in best) / len(best)
