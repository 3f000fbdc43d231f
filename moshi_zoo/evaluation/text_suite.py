"""The text suite: bits per byte beside an n-gram model, minimal pairs and multiple choice."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from moshi_zoo.evaluation.bootstrap import bootstrap_means, interval_of, resampled_counts
from moshi_zoo.evaluation.measurement import SHARE, Figure, Measure
from moshi_zoo.evaluation.ngram import NGram
from moshi_zoo.evaluation.text_likelihood import CausalLM, Floats, token_log_likelihoods
from moshi_zoo.evaluation.text_questions import Choice, Pair, Verdict, judge_choices, judge_pairs
from moshi_zoo.tokenizer import Tokenizer

MODEL, NGRAM_OF_TOKENS, NGRAM_OF_BYTES = "model", "ngram_tokens", "ngram_bytes"

_STRETCH = 4096  # bytes: long documents are resampled in stretches, or a book would have no interval
_BYTES = 256


@dataclass(frozen=True)
class TextSettings:
    """How to measure.

    Args:
        window: most tokens that the model reads at once.
        batch_tokens: about so many go through it together.
        order: of the n-gram models.
        resamples: for the intervals.
        seed: of the resamples.
    """

    window: int
    batch_tokens: int = 4096
    order: int = 5
    resamples: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class TextReport:
    """What was measured.

    Args:
        settings: how.
        figures: bits per byte, and perplexity.
        pairs: share of minimal pairs that are right: of all, and of each group.
        choices: the same for multiple choice, by sum and by length.
        counts: documents, bytes and tokens that were scored, and the bytes that the n-grams learned from.
        skipped: what was not measured -> why.
        took: seconds.
    """

    settings: TextSettings
    figures: list[Figure]
    pairs: list["GroupResult"]
    choices: list["GroupResult"]
    counts: dict[str, int]
    skipped: dict[str, str]
    took: float


@dataclass(frozen=True)
class GroupResult:
    """Questions of a group.

    Args:
        group: its name; ``all`` for all.
        figures: one, or two: by sum, and by length.
        chance: what guessing gives.
    """

    group: str
    figures: list[Figure]
    chance: float


@dataclass(frozen=True)
class _Stretches:
    """Parts of documents: bytes and tokens of each [N], and by who predicts them the bits that each costs [N]."""

    bytes: Floats
    tokens: Floats
    bits: dict[str, Floats]


def evaluate_text(
    model: CausalLM,
    tokenizer: Tokenizer,
    documents: Iterable[str],
    settings: TextSettings,
    *,
    baseline: Iterable[str] = (),
    pairs: Sequence[Pair] = (),
    choices: Sequence[Choice] = (),
    device: torch.device | str = "cpu",
    tell: Callable[[str], None] = lambda what: None,
) -> TextReport:
    """Measure a language model.

    Args:
        model: in eval mode.
        tokenizer: its own.
        documents: to score: each alone, from bos to eos, as in training.
        settings: how.
        baseline: what the n-gram models learn from: the model's training text, or some of it.
        pairs: minimal pairs.
        choices: multiple choice.
        device: where the model is.
        tell: is told what begins.

    Raises:
        ValueError: if there is nothing to score.
    """
    began = time.perf_counter()
    score = partial(
        token_log_likelihoods, model, window=settings.window, batch_tokens=settings.batch_tokens, device=device
    )
    tell("learning n-grams")
    ngrams, learned = _learn(tokenizer, baseline, settings.order)
    tell("scoring documents")
    parts, num_documents = _score(score, tokenizer, documents, ngrams)
    figures = _figures(parts, settings) if num_documents else []
    if pairs:
        tell("minimal pairs")
    of_pairs = _groups("pairs", judge_pairs(score, tokenizer, pairs), settings) if pairs else []
    if choices:
        tell("multiple choice")
    of_choices = _groups("choices", judge_choices(score, tokenizer, choices), settings) if choices else []
    if not (figures or of_pairs or of_choices):
        raise ValueError("there is no text to evaluate: no document, no pair, no choice")
    measured = {
        "bits per byte": (figures, "no documents were given"),
        f"{settings.order}-gram": (ngrams, "no text to learn from was given"),
        "minimal pairs": (of_pairs, "no pairs were given"),
        "multiple choice": (of_choices, "no questions were given"),
    }
    skipped = {what: why for what, (results, why) in measured.items() if not results}
    counts = {"documents": num_documents, "bytes": int(parts.bytes.sum()), "tokens": int(parts.tokens.sum())}
    return TextReport(
        settings,
        figures,
        of_pairs,
        of_choices,
        {**counts, "baseline_bytes": learned},
        skipped,
        time.perf_counter() - began,
    )


def _learn(tokenizer: Tokenizer, texts: Iterable[str], order: int) -> tuple[dict[str, NGram], int]:
    """N-gram models of tokens and of bytes, and how many bytes they learned from."""
    of_tokens, of_bytes = [], []
    for text in texts:
        of_tokens.append(np.array([*tokenizer.encode(text), tokenizer.eos]))
        of_bytes.append(_bytes(text))
    if not of_bytes:
        return {}, 0
    ngrams = {
        NGRAM_OF_TOKENS: NGram(of_tokens, vocab_size=tokenizer.vocab_size, order=order),
        NGRAM_OF_BYTES: NGram(of_bytes, vocab_size=_BYTES + 1, order=order),
    }
    return ngrams, sum(len(data) - 1 for data in of_bytes)


def _bytes(text: str) -> np.ndarray:
    """UTF-8, and a symbol for the end."""
    return np.append(np.frombuffer(text.encode(), np.uint8).astype(np.int64), _BYTES)


def _score(
    score: Callable[[Iterable[Sequence[int]]], Iterator[Floats]],
    tokenizer: Tokenizer,
    documents: Iterable[str],
    ngrams: dict[str, NGram],
) -> tuple[_Stretches, int]:
    read: deque[tuple[str, list[int]]] = deque()  # what the scoring has read ahead

    def sequences() -> Iterator[list[int]]:
        for text in documents:
            if text:
                tokens = [tokenizer.bos, *tokenizer.encode(text), tokenizer.eos]
                read.append((text, tokens))
                yield tokens

    rows: list[tuple[float, float]] = []
    bits: dict[str, list[float]] = {name: [] for name in (MODEL, *ngrams)}
    num_documents = 0
    for found in score(sequences()):
        text, tokens = read.popleft()
        num_bytes, num_documents = len(text.encode()), num_documents + 1
        parts = -(-num_bytes // _STRETCH)
        costs = {MODEL: -found / np.log(2)}
        if ngrams:
            costs[NGRAM_OF_TOKENS] = -ngrams[NGRAM_OF_TOKENS].log2_probabilities(tokens[1:])
            costs[NGRAM_OF_BYTES] = -ngrams[NGRAM_OF_BYTES].log2_probabilities(_bytes(text).tolist())
        for name, cost in costs.items():
            bits[name] += [float(part.sum()) for part in np.array_split(cost, parts)]
        rows += [(num_bytes / parts, (len(tokens) - 1) / parts)] * parts
    sizes = np.array(rows).reshape(-1, 2)
    return _Stretches(sizes[:, 0], sizes[:, 1], {n: np.array(b) for n, b in bits.items()}), num_documents


def _figures(parts: _Stretches, settings: TextSettings) -> list[Figure]:
    resampling = {"resamples": settings.resamples, "seed": settings.seed}
    names = list(parts.bits)
    values = np.stack([parts.bits[name] / parts.bytes for name in names], axis=1)  # [N, M]
    weights = np.repeat(parts.bytes[:, None], len(names), axis=1)
    means, intervals = bootstrap_means(values, weights, **resampling)
    titles = {
        MODEL: "the model",
        NGRAM_OF_TOKENS: f"{settings.order}-gram of tokens",
        NGRAM_OF_BYTES: f"{settings.order}-gram of bytes",
    }
    count = len(parts.bytes)
    figures = [
        Figure(Measure(f"bits_per_byte_{name}", titles[name], "bits per byte", "lower"), float(mean), interval, count)
        for name, mean, interval in zip(names, means, intervals, strict=True)
    ]
    if len(names) > 1:
        best = min(names[1:], key=lambda name: means[names.index(name)])
        counts = resampled_counts(count, **resampling)
        saved = 1 - (counts @ parts.bits[MODEL]) / (counts @ parts.bits[best])
        value = 1 - parts.bits[MODEL].sum() / parts.bits[best].sum()
        measure = Measure("saved", f"bits saved over the {titles[best]}", SHARE)
        figures.append(Figure(measure, float(value), interval_of(saved), count))
    perplexity = Measure("perplexity", "perplexity of a token", "", "lower")
    bits = (parts.bits[MODEL] / parts.tokens)[:, None]
    (mean,), (interval,) = bootstrap_means(bits, parts.tokens[:, None], **resampling)
    spread = type(interval)(2**interval.low, 2**interval.high)
    figures.append(Figure(perplexity, float(2**mean), spread, count))
    length = Measure("bytes_per_token", "bytes in a token", "", "neither")
    return [*figures, Figure(length, float(parts.bytes.sum() / parts.tokens.sum()), count=count)]


def _groups(what: str, verdicts: Sequence[Verdict], settings: TextSettings) -> list[GroupResult]:
    """The results of all questions, then of each group, large ones first."""
    sizes = Counter(group for verdict in verdicts for group in verdict.groups)
    names = sorted(sizes, key=lambda name: (-sizes[name], name))
    members = {"all": verdicts, **{name: [v for v in verdicts if name in v.groups] for name in names}}
    return [_group(what, name, some, settings) for name, some in members.items()]


def _group(what: str, name: str, verdicts: Sequence[Verdict], settings: TextSettings) -> GroupResult:
    by_length = [v.right_by_length for v in verdicts if v.right_by_length is not None]
    columns = [[v.right for v in verdicts], *([by_length] if by_length else [])]
    means, intervals = bootstrap_means(
        np.array(columns, np.float64).T, resamples=settings.resamples, seed=settings.seed
    )
    measures = (Measure(what, "right", SHARE), Measure(f"{what}_by_length", "right, by length", SHARE))
    figures = [
        Figure(measure, float(mean), interval, len(verdicts))
        for measure, mean, interval in zip(measures, means, intervals, strict=False)
    ]
    return GroupResult(name, figures, float(np.mean([v.chance for v in verdicts])))
