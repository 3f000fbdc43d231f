"""``evaluate text``: how well a language model predicts text, with confidence intervals, as JSON and tables."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from moshi_zoo.cli.evaluation_run import OUT, about_model, command_line, run_facts, versions
from moshi_zoo.cli.load_lm import load_lm
from moshi_zoo.cli.stages import Stages
from moshi_zoo.data.text_source import DIALOGUES

if TYPE_CHECKING:
    from moshi_zoo.data.dialogue import Dialogue
    from moshi_zoo.data.dialogue_tasks import Split
    from moshi_zoo.data.text_files import LineReport
    from moshi_zoo.evaluation.text_questions import Choice, Pair

_NUM_DIALOGUES = 500  # of those without end, in each part of the evaluation
_BASELINE_DIALOGUES = 20_000
_BASELINE_BYTES = 10_000_000
_MAX_BAD_SHARE = 0.1
_PACKAGES = ("torch", "numpy", "sentencepiece")

T = TypeVar("T")


def evaluate_text(
    *,
    model: str,
    data: list[str] | None = None,
    pairs: list[str] | None = None,
    choices: list[str] | None = None,
    baseline: list[str] | None = None,
    split: Literal["valid", "test"] = "test",
    max_items: int | None = None,
    window: int | None = None,
    batch_tokens: int = 4096,
    out: Path | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> None:
    """Measure a text language model: bits per byte beside a 5-gram, minimal pairs, multiple choice.

    With neither data, pairs nor choices all three come from the embedded dialogues. Writes results.json and report.md.

    Args:
        model: name or folder of a language model.
        data: text files, folders or patterns, or `dialogues`, the embedded ones.
        pairs: minimal pairs as in BLiMP, .jsonl with sentence_good and sentence_bad, or `dialogues`.
        choices: multiple choice, .jsonl with context or question, choices and answer, or `dialogues`.
        baseline: text the 5-grams learn from, at most 10 MB: the model's training text; for `dialogues` those.
        split: which of the embedded dialogues.
        max_items: the first so many documents, pairs and choices each; all those of files, if not given.
        window: most tokens that the model reads at once; its context, if not given.
        batch_tokens: about so many go through the model together.
        out: the folder to write; runs/evaluations/MODEL/text, if not given.
        device: where to compute, such as cpu or cuda.
        seed: of the resamples.
    """
    command = command_line(evaluate_text, "evaluate text", locals())
    from moshi_zoo.data.dialogues import dialogues
    from moshi_zoo.data.plain_documents import documents
    from moshi_zoo.data.text_files import LineReport
    from moshi_zoo.evaluation import text_report, text_suite
    from moshi_zoo.evaluation.text_questions import read_choices, read_pairs
    from moshi_zoo.evaluation.text_suite import TextSettings

    if batch_tokens < 1 or (max_items is not None and max_items < 1):
        raise ValueError(f"batch_tokens ({batch_tokens}) and max_items ({max_items}) must be positive")
    if not (data or pairs or choices):
        data = pairs = choices = [DIALOGUES]
    if baseline is None and data == [DIALOGUES]:
        baseline = [DIALOGUES]
    loaded = load_lm(model, device)
    about = about_model(model, loaded.net, loaded.config, loaded.folder)
    out = out or OUT / about["name"] / "text"
    bad = LineReport(_MAX_BAD_SHARE)
    most = max_items or _NUM_DIALOGUES

    def texts(sources: list[str] | None, embedded: "Iterator[Dialogue]") -> Iterator[str]:
        return _from(sources, lambda files: documents(files, bad), (dialogue.text for dialogue in embedded))

    pairs_read = list(islice(_from(pairs, _reader(read_pairs, bad), _embedded_pairs(split, most)), max_items))
    choices_read = list(islice(_from(choices, _reader(read_choices, bad), _embedded_choices(split, most)), max_items))
    bad.check()
    with Stages() as stages:
        report = text_suite.evaluate_text(
            loaded.net,
            loaded.tokenizer,
            islice(texts(data, islice(dialogues(0, split), most)), max_items),
            TextSettings(window or loaded.net.context, batch_tokens, seed=seed),
            baseline=_beginning(texts(baseline, islice(dialogues(), _BASELINE_DIALOGUES)), _BASELINE_BYTES),
            pairs=pairs_read,
            choices=choices_read,
            device=device,
            tell=stages.begin,
        )
    bad.check()
    about_data = {"documents": data, "pairs": pairs, "choices": choices, "baseline": baseline, "bad_lines": bad.num_bad}
    context = {
        "model": about,
        "data": about_data,
        "run": run_facts(command, device),
        "versions": versions(*_PACKAGES),
    }
    text = text_report.as_markdown(report, context)
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(text_report.as_json(report, context) + "\n", encoding="utf-8")
    (out / "report.md").write_text(text, encoding="utf-8")
    print(text)
    print(f"written to {out}")


def _from(sources: list[str] | None, read: Callable[[list[str]], Iterator[T]], embedded: Iterable[T]) -> Iterator[T]:
    """What the sources hold: the embedded dialogues, if they are among them, then the files."""
    files = [source for source in sources or () if source != DIALOGUES]
    from_files = read(files)
    return chain(embedded if DIALOGUES in (sources or ()) else (), from_files)


def _reader(read: "Callable[[Path, LineReport], Iterator[T]]", bad: "LineReport") -> Callable[[list[str]], Iterator[T]]:
    """Reads all files of sources with a reader of one."""
    from moshi_zoo.data.text_files import find_text

    return lambda sources: (item for source in sources for path in find_text(source) for item in read(path, bad))


def _embedded_pairs(split: "Split", count: int) -> "Iterator[Pair]":
    from moshi_zoo.data.dialogue_pairs import minimal_pairs
    from moshi_zoo.evaluation.text_questions import Pair

    return (Pair(pair.good, pair.bad, (pair.family,)) for pair in islice(minimal_pairs(0, split), count))


def _embedded_choices(split: "Split", count: int) -> "Iterator[Choice]":
    from moshi_zoo.data.dialogue_pairs import answer_choices
    from moshi_zoo.evaluation.text_questions import Choice

    return (Choice(c.context, c.choices, c.answer, (c.family,)) for c in islice(answer_choices(0, split), count))


def _beginning(texts: Iterable[str], num_bytes: int) -> Iterator[str]:
    """Texts until there are so many bytes."""
    for text in texts:
        if num_bytes <= 0:
            return
        yield text
        num_bytes -= len(text.encode())
