"""``evaluate compare``: results of several models in one table."""

from pathlib import Path


def evaluate_compare(results: list[str], *, measures: list[str] | None = None, out: Path | None = None) -> None:
    """Put the results of several models side by side, as a table in Markdown.

    Args:
        results: folders that `evaluate duplex`, asr or tts has written, on the same data; each becomes a row.
        measures: names of what to show, such as answers_right; the first few, if not given.
        out: file to write the table to.
    """
    from moshi_zoo.evaluation.comparison import read_result, side_by_side
    from moshi_zoo.evaluation.presentation import as_markdown_table

    if not results:
        raise ValueError("results: give at least one folder that an evaluation has written")
    table = as_markdown_table(side_by_side([read_result(Path(folder)) for folder in results], measures or ()))
    print(table)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(table + "\n", encoding="utf-8")
