"""A model's folder as Hugging Face keeps it: config.json, and weights in one safetensors file or in several.

Folders come from strangers: sizes are limited, and an index names files beside itself only.
"""

import json
import re
from pathlib import Path
from typing import Any

from moshi_zoo.zoo.names import Tensors
from moshi_zoo.zoo.tensor_file import open_tensors, refuse_pickle

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
_MAX_BYTES = 16 * 1024 * 1024  # of a JSON file
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors")


def read_config(folder: Path) -> dict[str, Any]:
    """What config.json says.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is no JSON object.
    """
    file = folder / CONFIG
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing: Hugging Face's layout needs it beside the weights")
    return _read_json(file)


def open_weights(source: Path) -> Tensors:
    """All tensors of a folder, or of one file, deferred (:mod:`moshi_zoo.zoo.deferred`).

    Raises:
        FileNotFoundError: if a file is missing, or it is not clear which one to take.
        ValueError: if a file is damaged, or the index does not fit the files.
    """
    if source.is_file():
        return open_tensors(source)
    if (source / WEIGHTS).is_file():
        return open_tensors(source / WEIGHTS)
    if (source / INDEX).is_file():
        return _read_shards(source / INDEX)
    found = sorted(source.glob("*.safetensors"))
    if not found:
        for file in sorted(source.iterdir()):
            if file.is_file():
                refuse_pickle(file)
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise FileNotFoundError(f"{source} has neither {WEIGHTS} nor {INDEX} (safetensors files in it: {names})")
    return open_tensors(found[0])


def _read_shards(index: Path) -> Tensors:
    weight_map = _read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(f"{index} has no weight_map from tensors to files")
    for name in weight_map.values():
        if not isinstance(name, str) or not _PLAIN_NAME.fullmatch(name):
            raise ValueError(f"{index} names the file {name!r}: only safetensors files beside the index are read")
    tensors: Tensors = {}
    for name in sorted(set(weight_map.values())):
        shard = index.parent / name
        if not shard.is_file():
            raise FileNotFoundError(f"{shard} is missing, but {index.name} says that weights are in it")
        loaded = open_tensors(shard)
        promised = {tensor for tensor, file in weight_map.items() if file == name}
        if wrong := sorted(promised ^ loaded.keys()):
            where = index.name if wrong[0] in promised else name
            raise ValueError(f"{shard} and {index.name} disagree: only {where} has the tensor {wrong[0]}")
        tensors |= loaded
    return tensors


def _read_json(file: Path) -> dict[str, Any]:
    if file.stat().st_size > _MAX_BYTES:
        raise ValueError(f"{file} has {file.stat().st_size} bytes; it may have {_MAX_BYTES}")
    try:
        content = json.loads(file.read_text())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} must hold a JSON object, not a {type(content).__name__}")
    return content
