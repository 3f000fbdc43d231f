"""The verb ``tokenizer``: learn the pieces of a text, and show a text in pieces."""

from pathlib import Path
from typing import Literal

_MAX_BAD_SHARE = 0.1


def train(
    sources: list[str],
    *,
    vocab_size: int,
    out: Path,
    control_tokens: int | None = None,
    normalization: Literal["identity", "nmt_nfkc"] = "identity",
    max_lines: int = 2_000_000,
    seed: int = 0,
) -> None:
    """Learn the pieces of a text (SentencePiece unigram).

    Ids: 0 EPAD, 1 bos, 2 eos, 3 PAD, spare control tokens, 256 bytes, pieces.

    Args:
        sources: text files (.txt, .jsonl, also .gz and .zst), folders of them, patterns, or `dialogues`.
        vocab_size: number of ids.
        out: the file to write, such as tokenizer.model.
        control_tokens: spare ids for later stages; a 64th of all, up to 64, if not given.
        normalization: identity keeps every character; nmt_nfkc joins variants of letters and spaces.
        max_lines: learn from so many lines, drawn at random.
        seed: of the draw.
    """
    from rich.console import Console

    from moshi_zoo.data.text_documents import PlainText
    from moshi_zoo.data.text_files import LineReport
    from moshi_zoo.data.text_source import files_of, read_texts
    from moshi_zoo.tokenizer import Tokenizer

    if not out.parent.is_dir():
        raise ValueError(f"the folder of {out} does not exist; make it first: mkdir -p {out.parent}")
    report = LineReport(_MAX_BAD_SHARE)
    texts = read_texts(files_of(sources), PlainText(), report)
    console = Console(stderr=True)
    with console.status("learning pieces ..."):  # shown on a terminal only
        tokenizer = Tokenizer.train(
            texts,
            vocab_size=vocab_size,
            control_tokens=control_tokens,
            normalization=normalization,
            max_lines=max_lines,
            seed=seed,
        )
    report.check()
    tokenizer.save(out)
    print(f"{out}: {tokenizer.vocab_size} pieces, {len(tokenizer.control)} of them spare control tokens")
    if report.num_bad:
        print(f"{report.num_bad} of {report.num_lines} lines could not be used, such as {report.examples[0]}")


def show(model: Path, text: str) -> None:
    """Show a text in pieces, with their ids.

    Args:
        model: a SentencePiece .model file, or a folder with a tokenizer.model.
        text: what to show.
    """
    from moshi_zoo.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(model)
    tokens = tokenizer.encode(text)
    for token in tokens:
        print(f"{token:>6}  {tokenizer.piece(token)}")
    characters_per_token = f", {len(text) / len(tokens):.2f} characters each" if tokens else ""
    print(f"{len(tokens)} of {tokenizer.vocab_size} pieces{characters_per_token}")


ACTIONS = {"train": train, "show": show}
"""What to do with a tokenizer -> how."""
