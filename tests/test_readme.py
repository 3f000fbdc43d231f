"""The commands in the README can be typed."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from moshi_zoo.__main__ import VERBS
from moshi_zoo.cli import trainer
from moshi_zoo.cli.command import make_parser, with_underscores

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)


def commands(text: str) -> list[list[str]]:
    """The words after ``python -m moshi_zoo`` of all commands in code blocks."""
    blocks = "\n".join(block for language, block in _BLOCK.findall(text) if language != "python")
    lines = blocks.replace("\\\n", " ").splitlines()
    typed = [line.partition("python -m moshi_zoo ")[2] for line in lines if "python -m moshi_zoo " in line]
    return [shlex.split(line, comments=True) for line in typed]


COMMANDS = commands((ROOT / "README.md").read_text())


def check(words: list[str]) -> None:
    verb, *rest = words
    assert verb in VERBS, f"the README uses an unknown verb: {verb}"
    if {"--help", "-h"} & set(rest):
        return
    rest = with_underscores(rest)
    if VERBS[verb].target == VERBS["fit"].target:
        for at in reversed(range(len(rest))):  # what earlier runs have made, which are not here
            if rest[at] == "--ckpt_path" or rest[at].startswith("--init_from."):
                del rest[at : at + 2]
        asks = any(word.startswith("--print_config") or word.endswith((".help", "--help-all")) for word in rest)
        try:
            trainer.run(rest if asks else [*rest, "--config", str(ROOT / "recipes/with/cpu.yaml")])
        except SystemExit as answered:
            if answered.code:
                raise
    else:
        module, _, function = VERBS[verb].target.partition(":")
        make_parser(getattr(importlib.import_module(module), function), name=verb).parse_args(rest)


def test_the_readme_has_commands():
    assert [words for words in COMMANDS if words[0] == "fit"]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_of_the_readme_can_be_typed(words, monkeypatch):
    monkeypatch.chdir(ROOT)
    check(words)


@pytest.mark.parametrize(
    "text",
    [
        "python -m moshi_zoo fitt --config recipes/nano/mimi.yaml",
        "uv run python -m moshi_zoo fit --config recipes/nano/mimmi.yaml",
        "python -m moshi_zoo fit --config recipes/nano/mimi.yaml --data.sauce x  # comment",
        "python -m moshi_zoo encode x.wav \\\n  --modell y --out z",
        "python -m moshi_zoo encode x.wav --model y",
    ],
)
def test_a_wrong_command_is_found(text, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    (words,) = commands(f"```bash\n{text}\n```\n")
    with pytest.raises((SystemExit, ValueError, AssertionError)):
        check(words)
