"""What data take over from the models that a run starts from, where the recipe says nothing: how text is written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from moshi_zoo.tokenizer import FILE as TOKENIZER
from moshi_zoo.zoo.config import read_config

_ALL = "net"
_HEARD = "moshi_and_heard"


def take_over(data: Any, models: Mapping[str, Path]) -> None:
    """Fill in the data's arguments, as far as they have them and they are None.

    Args:
        data: section of the recipe, ``{class_path, init_args}``; changed in place.
        models: part of the net -> zoo folder of the model that brings it.
    """
    arguments = data.get("init_args") if isinstance(data, Namespace) else None
    if arguments is None:
        return
    tokenizers = [folder / TOKENIZER for folder in models.values() if (folder / TOKENIZER).is_file()]
    if tokenizers:
        _fill(arguments, "tokenizer", str(tokenizers[0]))
    if _ALL in models:  # a part of it has learnt no layout
        layout = read_config(models[_ALL]).text_layout
        if layout.of:
            _fill(arguments, "text_of", layout.of)
        if "heard" in layout.delays_s and arguments.get("text_of") == _HEARD:
            _fill(arguments, "heard_delay_s", -layout.delay_s("heard"))


def _fill(arguments: Namespace, name: str, value: Any) -> None:
    if name in arguments and arguments[name] is None:
        arguments[name] = value
