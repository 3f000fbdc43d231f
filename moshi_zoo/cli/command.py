"""Runs a plain typed function as a command: its signature gives the options, its docstring the help."""

import sys
from collections.abc import Callable
from typing import NoReturn

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from moshi_zoo.cli.errors import explain


class ShortErrors(ArgumentParser):
    """A parser that says in one line what is wrong."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the line and leave with exit code 2."""
        if not self.exit_on_error:  # one of several attempts of an outer parser
            super().error(message, ex)
        parser = getattr(ex, "subcommand_parser", None) or self
        options = [o.removeprefix("--") for action in parser._actions for o in action.option_strings if o[:2] == "--"]
        program = parser.prog.replace(" [options]", "")
        sys.stderr.write(f"{program}: {explain(message, options)}\n")
        self.exit(2)


class _Help(DefaultHelpFormatter):
    """Help in words: Python's spelling of the types is left out."""

    def _get_type_str(self, action: object) -> None:
        return None


def run(function: Callable[..., None], words: list[str], *, name: str) -> None:
    """Call a function with the arguments a user typed.

    Args:
        function: typed, with a Google-style docstring.
        words: what the user typed after the verb.
        name: of the verb.
    """
    parser = make_parser(function, name=name)
    function(**parser.instantiate(parser.parse_args(with_underscores(words))).as_dict())


def make_parser(function: Callable[..., None], *, name: str) -> ArgumentParser:
    """The parser of a function: keyword-only arguments are options, the others come by position."""
    parser = ShortErrors(prog=f"moshi_zoo {name}", allow_abbrev=False, formatter_class=_Help)
    parser.add_function_arguments(function, as_positional=True)
    return parser


def with_underscores(words: list[str]) -> list[str]:
    """Accept ``--num-codebooks`` for ``--num_codebooks``; values stay as they are."""
    pairs = [word.partition("=") if word.startswith("--") else (word, "", "") for word in words]
    return [
        ("--" + key[2:].replace("-", "_") if key.startswith("--") else key) + sign + value for key, sign, value in pairs
    ]
