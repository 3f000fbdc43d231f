"""Short messages for what jsonargparse refuses: where, what, and the nearest valid name.

jsonargparse lists everything it tried, over ten or more lines. The cause is among them and is taken out here; a message
of a shape not known here is passed on as it is.
"""

import inspect
import re
import sys
from collections.abc import Iterable, Iterator

from moshi_zoo.registry import unknown

_KEY = re.compile(r'Parser key "([^"]+)"')
_UNKNOWN_FLAG = re.compile(r"unrecognized arguments: (.*)")
_MISSING = re.compile(r"the following arguments are required: (.*)")
_UNKNOWN_KEY = re.compile(r"(?:Subcommand|Group) '([^']+)' does not accept option '([^']+)'")
_UNKNOWN_OPTION = re.compile(r"Option '([^']+)' is not accepted")
_UNKNOWN_CLASS = re.compile(r"Expected a dot import path string: ([^\s,]+)")
_WRONG_CLASS = re.compile(r"Expected '([\w.]+)' to be a subclass of <class '([\w.]+)'>")
_WRONG_TYPE = re.compile(r"Expected an? (<class '[\w.]+'>|[\w.]+\[.*?\])")
_GIVEN = re.compile(r"(?:Got|Given) value: (.*?)(?:\. Got value: .*)?$", re.MULTILINE)
_GIVEN_TO_NESTED = re.compile(r"NestedArg\(key='.*?', val='(.*)'\)")
_CLASS_PATH = re.compile(r"class_path[ =]'([\w.]+)'")
_CLASS = re.compile(r"(?:<class '|, )([\w.]+)(?:'>|\] expects)")


def explain(message: str, options: Iterable[str]) -> str:
    """One line for a message of jsonargparse.

    Args:
        message: what its parser says.
        options: names of the parser's options, without dashes.
    """
    if match := _UNKNOWN_FLAG.search(message):
        flag, _, _ = match[1].split()[0].partition("=")
        return (
            unknown("option", flag, [f"--{o}" for o in options]) if flag[0] == "-" else f"one word too many: {flag!r}"
        )
    if match := _MISSING.search(message):
        return f"{match[1]} not given"
    if match := _UNKNOWN_KEY.search(message):
        return unknown("option", match[2], options)
    keys = list(dict.fromkeys(_KEY.findall(message)))
    place = f"{'.'.join(keys)}: " if keys else ""
    if match := _UNKNOWN_OPTION.search(message):
        owner = _owner(message, match)
        return place + unknown(f"option of {_short(owner)}", match[1].partition(".")[0], set(_arguments(owner)))
    if match := _UNKNOWN_CLASS.search(message):
        families = [_find(path) for path in _CLASS.findall(message[: match.start()])]
        return place + unknown("class", match[1], {c.__name__ for family in families for c in _subclasses(family)})
    if match := _WRONG_CLASS.search(message):
        return f"{place}{_short(match[1])} is no {_short(match[2])}"
    if expected := dict.fromkeys(_type_name(t) for t in _WRONG_TYPE.findall(message)):
        expected.pop("NoneType", None)
        return f"{place}{_given(message)} is not {' or '.join(expected)}"
    return " ".join(message.split())


def _owner(message: str, match: re.Match[str]) -> str:
    """The class that refused an option: the one its value names, else the last one on the way there."""
    line_end = message.find("\n", match.end())
    after = _CLASS_PATH.findall(message[match.end() : line_end])
    before = _CLASS_PATH.findall(message[: match.start()])
    return (after or before[::-1] or [""])[0]


def _find(path: str) -> type | None:
    module, _, name = path.rpartition(".")
    found = getattr(sys.modules.get(module), name, None)
    return found if isinstance(found, type) else None


def _arguments(path: str) -> Iterator[str]:
    cls = _find(path)
    for ancestor in cls.__mro__ if cls else ():
        yield from (n for n in inspect.signature(ancestor).parameters if n not in ("self", "args", "kwargs"))


def _subclasses(cls: type | None) -> Iterator[type]:
    for child in cls.__subclasses__() if cls and cls.__module__ != "builtins" else ():
        yield child
        yield from _subclasses(child)


def _given(message: str) -> str:
    given = _GIVEN.findall(message)[0] if _GIVEN.search(message) else "the value"
    nested = _GIVEN_TO_NESTED.search(given)
    return repr(nested[1] if nested else given)


def _type_name(text: str) -> str:
    if text.startswith("typing.Literal["):
        return text[len("typing.Literal[") : -1].replace("'", "").replace(", ", " or ")
    return text.removeprefix("<class '").removesuffix("'>")


def _short(path: str) -> str:
    return path.rpartition(".")[2]
