"""Runs a plain typed function as a command: its signature gives the options, its docstring the help."""

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from docstring_parser import parse
from jsonargparse import ArgumentParser, DefaultHelpFormatter

from moshi_zoo.cli.errors import explain

Function = Callable[..., None]
Target = Function | Mapping[str, Function]
"""What a verb does; with several functions, the next word chooses."""

_CHOICE = "what"
_LISTS = (list[str], list[str] | None)


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


def run(function: Target, words: list[str], *, name: str) -> None:
    """Call a function with the arguments a user typed.

    Args:
        function: typed, with a Google-style docstring; or several, each with the word that chooses it.
        words: what the user typed after the verb.
        name: of the verb.
    """
    parser = make_parser(function, name=name)
    typed = parser.parse_args(with_underscores(words))
    try:
        arguments = parser.instantiate(typed)
    except ValueError as error:
        raise ValueError(str(_first_cause(error))) from error  # jsonargparse wraps what a class of ours refused
    if isinstance(function, Mapping):
        chosen = arguments[_CHOICE]
        function[chosen](**arguments[chosen].as_dict())
    else:
        function(**arguments.as_dict())


def make_parser(function: Target, *, name: str) -> ArgumentParser:
    """The parser of a verb: keyword-only arguments are options, the others come by position, or not if they may.

    A list of texts is typed as words with spaces between them; what is False by default, as an option without a value.
    """
    parser = ShortErrors(prog=f"moshi_zoo {name}", allow_abbrev=False, formatter_class=_Help)
    if isinstance(function, Mapping):
        choices = parser.add_subcommands(dest=_CHOICE, metavar="WHAT")
        for word, chosen in function.items():
            own = make_parser(chosen, name=f"{name} {word}")
            choices.add_subcommand(word, own, help=parse(chosen.__doc__ or "").short_description)
        return parser
    parameters = inspect.signature(function).parameters
    lists = {n: p for n, p in parameters.items() if p.annotation in _LISTS}
    flags = [n for n, p in parameters.items() if p.annotation is bool and p.default is False]
    left_out = {n: p for n, p in parameters.items() if p.kind is not p.KEYWORD_ONLY and p.default is not p.empty}
    parser.add_function_arguments(function, as_positional=True, skip={*lists, *flags, *left_out})
    meanings = {p.arg_name: p.description for p in parse(function.__doc__ or "").params}
    options: dict[str, Any]
    for argument, parameter in left_out.items():
        options = {"nargs": "?", "type": parameter.annotation, "default": parameter.default}
        parser.add_argument(argument, **options, help=meanings.get(argument))
    for argument, parameter in lists.items():
        options = {"nargs": "+", "type": str, "help": meanings.get(argument)}
        if parameter.kind is parameter.KEYWORD_ONLY:
            needed = parameter.default is parameter.empty
            options |= {"required": True} if needed else {"default": parameter.default}
        parser.add_argument(f"--{argument}" if parameter.kind is parameter.KEYWORD_ONLY else argument, **options)
    for flag in flags:
        parser.add_argument(f"--{flag}", action="store_true", help=meanings.get(flag))
    return parser


def with_underscores(words: list[str]) -> list[str]:
    """Accept ``--num-codebooks`` for ``--num_codebooks``; values stay as they are."""
    pairs = [word.partition("=") if word.startswith("--") else (word, "", "") for word in words]
    return [
        ("--" + key[2:].replace("-", "_") if key.startswith("--") else key) + sign + value for key, sign, value in pairs
    ]


def _first_cause(error: ValueError) -> ValueError:
    while isinstance(error.__cause__, ValueError):
        error = error.__cause__
    return error
