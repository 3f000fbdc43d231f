"""``data clean``: text without duplicates, foreign languages and rubbish, and a report of what was dropped and why."""

import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from moshi_zoo.cli.aside import say_aside
from moshi_zoo.data.cleaning.bloom import BloomFilter
from moshi_zoo.data.cleaning.classifier import TextClassifier
from moshi_zoo.data.cleaning.duplicates import MIN_RUN, DropPieces, LooksLike, SeenBefore
from moshi_zoo.data.cleaning.judgement import Language, Length, Quality
from moshi_zoo.data.cleaning.naive_bayes import NaiveBayes  # noqa: F401 - can be named on the command line
from moshi_zoo.data.cleaning.pipeline import Pipeline
from moshi_zoo.data.cleaning.prose import Prose
from moshi_zoo.data.cleaning.step import Step
from moshi_zoo.data.cleaning.stop_words import StopWords
from moshi_zoo.data.plain_documents import check_output, documents, write_documents
from moshi_zoo.data.text_files import LineReport, find_text
from moshi_zoo.registry import unknown

_SECONDS = 10.0  # between lines of progress where there is no terminal


def clean(
    files: list[str],
    *,
    out: Path,
    steps: str = "language,paragraphs,quality,length",
    language: str = "en",
    language_classifier: TextClassifier | None = None,
    min_language: float = 0.85,
    quality_classifier: TextClassifier | None = None,
    good: str = "good",
    min_quality: float = 0.7,
    block_classifier: TextClassifier | None = None,
    boilerplate: str = "boilerplate",
    min_run: int = MIN_RUN,
    min_piece: int = 1,
    min_kept: float = 0.2,
    min_chars: int = 500,
    expected_pieces: int = 10_000_000,
    false_positives: float = 1e-4,
    max_bad_share: float = 0.1,
    report: Path | None = None,
    seed: int = 0,
) -> None:
    """Clean text, document by document, and report what was dropped and why.

    Classifiers are StopWords, Prose, NaiveBayes (--quality-classifier NaiveBayes --quality-classifier.files
    "{good: wiki.txt, poor: spam.txt}") or FastText (--language-classifier FastText --language-classifier.path FILE).

    Args:
        files: text files, folders or patterns: .txt and .jsonl, plain, .gz or .zst.
        out: a .jsonl, .jsonl.gz or .jsonl.zst to write.
        steps: of language, paragraphs, lines, blocks, quality and length, in this order, with commas between them.
        language: the label to keep.
        language_classifier: StopWords, if not given.
        min_language: least probability of the language.
        quality_classifier: judges lines; Prose, if not given.
        good: its labels of good text, with commas between them.
        min_quality: least mean quality of a document, lines weighted by their length.
        block_classifier: judges lines in the step blocks; if not given, those that were seen before are marked.
        boilerplate: its labels of what should go, with commas between them.
        min_run: so many marked lines in a row are a block.
        min_piece: shorter lines and paragraphs, in characters, are never duplicates.
        min_kept: a document that would keep a smaller share of its paragraphs' or lines' characters goes as a whole.
        min_chars: shorter documents go.
        expected_pieces: lines or paragraphs that differ, about: sets the memory of each filter.
        false_positives: share of new ones that may be taken for old ones when so many have been seen.
        max_bad_share: share of unreadable lines that stops the run.
        report: a .json to write; OUT.report.json, if not given.
        seed: of the draw of examples in the report.
    """
    command = shlex.join(["python", "-m", "moshi_zoo", *sys.argv[1:]])

    def seen() -> SeenBefore:
        memory = BloomFilter.sized_for(expected_pieces, false_positives=false_positives)
        return SeenBefore(memory, min_chars=min_piece)

    def blocks() -> DropPieces:
        marks = LooksLike(block_classifier, boilerplate.split(",")) if block_classifier else seen()
        return DropPieces("blocks", marks, unit="line", min_run=min_run)

    available: dict[str, Callable[[], Step]] = {
        "language": lambda: Language(language_classifier or StopWords(), language, threshold=min_language),
        "paragraphs": lambda: DropPieces("paragraphs", seen(), unit="paragraph", min_kept=min_kept),
        "lines": lambda: DropPieces("lines", seen(), unit="line", min_kept=min_kept),
        "blocks": blocks,
        "quality": lambda: Quality(quality_classifier or Prose(), good.split(","), threshold=min_quality),
        "length": lambda: Length(min_chars),
    }
    check_output(out)
    if out.absolute() in (path for source in files for path in find_text(source)):
        raise ValueError(f"{out} would be read and written: write to another name, or read less")
    names = [name.strip() for name in steps.split(",")]
    for name in names:
        if name not in available:
            raise ValueError(unknown("cleaning step", name, available))
    pipeline = Pipeline([available[name]() for name in names], seed=seed)
    bad = LineReport(max_bad_share)
    write_documents(out, pipeline(_with_progress(documents(files, bad), bad)))
    report = report or out.with_name(f"{out.name}.report.json")
    report.parent.mkdir(parents=True, exist_ok=True)
    lines = {"read": bad.num_lines, "bad": bad.num_bad, "examples": bad.examples}
    report.write_text(pipeline.as_json(command=command, out=str(out), lines=lines) + "\n", encoding="utf-8")
    _show(pipeline)
    print(f"written to {out}; what was dropped, with examples: {report}")


def _with_progress(texts: Iterable[str], bad: LineReport) -> Iterator[str]:
    """The texts; meanwhile how many there were, and at the end whether too many lines were bad."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    next_line = time.monotonic() + _SECONDS
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("", total=None)
        for number, text in enumerate(texts, start=1):
            yield text
            progress.update(task, description=f"{number} documents")
            if not console.is_terminal and time.monotonic() > next_line:
                say_aside(f"{number} documents")
                next_line = time.monotonic() + _SECONDS
    bad.check()


def _show(pipeline: Pipeline) -> None:
    from rich.console import Console
    from rich.table import Table

    head, *rows = pipeline.table()
    table = Table(*head)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
