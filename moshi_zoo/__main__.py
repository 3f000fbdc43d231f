"""`python -m moshi_zoo VERB ...`: finds the verb; its module is imported only when it is called."""

import importlib
import os
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from moshi_zoo import __version__

EXIT_FAILED, EXIT_WRONG_USE, EXIT_INTERRUPTED = 1, 2, 130


@dataclass(frozen=True)
class Verb:
    """A word after the program's name.

    Args:
        target: ``module:function``. A training verb's function takes the words that follow; any other is a plain typed
            function, whose signature and docstring are the command line, or a table of such: second word -> function.
        help: one line.
        group: heading in the list of verbs.
    """

    target: str
    help: str
    group: Literal["Train", "Use", "Exchange"]


_TRAINER = "moshi_zoo.cli.fit:run"
VERBS = {
    "fit": Verb(_TRAINER, "train a model from a recipe", "Train"),
    "validate": Verb(_TRAINER, "measure a model on the validation data of a recipe", "Train"),
    "test": Verb(_TRAINER, "measure a model on the test data of a recipe", "Train"),
    "predict": Verb(_TRAINER, "run a model over the prediction data of a recipe", "Train"),
    "chain": Verb("moshi_zoo.cli.chain:chain", "train one model after the other, each from those before it", "Train"),
    "data": Verb("moshi_zoo.cli.data:TOOLS", "make data ready for training", "Use"),
    "encode": Verb("moshi_zoo.cli.codec:encode", "audio file to codes", "Use"),
    "decode": Verb("moshi_zoo.cli.codec:decode", "codes to audio file", "Use"),
    "generate": Verb("moshi_zoo.cli.generate:generate", "continue a text with a language model", "Use"),
    "talk": Verb("moshi_zoo.cli.talk:talk", "talk with a recorded user: his wav in, the reply out", "Use"),
    "transcribe": Verb("moshi_zoo.cli.transcribe:transcribe", "write down what is said, as it is heard", "Use"),
    "speak": Verb("moshi_zoo.cli.speak:speak", "read a text or a script aloud", "Use"),
    "serve": Verb("moshi_zoo.cli.serve:serve", "talk to a model in real time, from the browser, many at once", "Use"),
    "evaluate": Verb("moshi_zoo.cli.evaluate:SUITES", "measure a codec, a language model, or a Moshi", "Use"),
    "bench": Verb(
        "moshi_zoo.cli.bench:BENCHES", "measure speed and memory of a model, or of a server under load", "Use"
    ),
    "tokenizer": Verb("moshi_zoo.cli.tokenizer:ACTIONS", "learn the pieces of a text, show a text in pieces", "Use"),
    "lineage": Verb("moshi_zoo.cli.lineage:lineage", "which models a model was made from", "Exchange"),
    "list": Verb("moshi_zoo.cli.list_models:list_models", "models: here, to be had, and presets", "Exchange"),
    "info": Verb("moshi_zoo.cli.info:info", "what is known of a model", "Exchange"),
    "download": Verb("moshi_zoo.cli.download:download", "fetch a model by its name, or from the hub", "Exchange"),
    "import": Verb("moshi_zoo.cli.models:import_", "released weights to a zoo folder", "Exchange"),
    "export": Verb("moshi_zoo.cli.models:export", "a zoo folder to the released layout", "Exchange"),
    "release": Verb(
        "moshi_zoo.cli.release:release", "a trained model as a folder for others, card and all", "Exchange"
    ),
    "publish": Verb("moshi_zoo.cli.publish:publish", "upload a model to the hub", "Exchange"),
}


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return the exit code: 0 done, 2 wrong use (a message, no traceback), 130 Ctrl-C, 1 a failure.

    Args:
        argv: the words after the program's name.
    """
    words = sys.argv[1:] if argv is None else argv
    try:
        return _run(words)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else EXIT_FAILED if stop.code else 0
    except BrokenPipeError:  # the reader of `moshi_zoo list | head` has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("MOSHI_ZOO_DEBUG") != "1" and is_wrong_use(error):
            print(f"moshi_zoo {words[0]}: {describe(error)}", file=sys.stderr)
            return EXIT_WRONG_USE
        traceback.print_exc()
        return EXIT_FAILED


def is_wrong_use(error: Exception) -> bool:
    """Whether the user can mend it: a check of ours refused something, or a file is not there or not open to us."""
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError):
        return True
    if not isinstance(error, ValueError):
        return False
    place = error.__traceback__
    while place and place.tb_next:
        place = place.tb_next
    return bool(place) and Path(__file__).parent in Path(place.tb_frame.f_code.co_filename).parents


def describe(error: Exception) -> str:
    """What to tell the user about an error."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if words[0] == "--version":
        print(f"moshi_zoo {__version__}")
        return 0
    name, *rest = words
    if name not in VERBS:
        from moshi_zoo.registry import unknown

        raise ValueError(unknown("verb", name, VERBS))
    module, _, function = VERBS[name].target.partition(":")
    target = getattr(importlib.import_module(module), function)
    if VERBS[name].target == _TRAINER:
        target([name, *rest])
    else:
        from moshi_zoo.cli.command import run

        run(target, rest, name=name)
    return 0


def _overview() -> str:
    lines = [
        "usage: python -m moshi_zoo VERB ...      (VERB --help tells more)",
        "",
        "Train, exchange and use full-duplex speech models: Mimi, Helium, Moshi.",
    ]
    for group in dict.fromkeys(v.group for v in VERBS.values()):
        lines += ["", f"{group}:"]
        lines += [f"  {name:<12}{verb.help}" for name, verb in VERBS.items() if verb.group == group]
    lines += ["", "  --version  say which version this is", "", "MOSHI_ZOO_DEBUG=1 shows where an error came from."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
