"""Safetensors files, read and written one tensor at a time.

The library's own reader maps a file into memory, and so does this; its writer wants all tensors at once, and this one
does not.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from moshi_zoo.zoo.deferred import compute, defer

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_MAX_HEADER_BYTES = 100_000_000  # as the library has it
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def open_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a file, read when they are computed (:mod:`moshi_zoo.zoo.deferred`).

    Raises:
        ValueError: if it is no whole safetensors file, or a pickle, which can run code and is not read.
    """
    refuse_pickle(file)
    try:
        source = safe_open(file, framework="pt")
    except SafetensorError as error:
        raise ValueError(f"{file} is no readable safetensors file ({_truncation(file) or error})") from error
    tensors = {}
    for name in source.keys():  # noqa: SIM118 - not a mapping
        outline = source.get_slice(name)
        dtype = _DTYPES.get(outline.get_dtype())
        if dtype is None:
            raise ValueError(f"{file}: {name} is of the type {outline.get_dtype()}, which is not read here")
        like = torch.empty(outline.get_shape(), dtype=dtype, device="meta")
        tensors[name] = defer(like, lambda name=name: source.get_tensor(name))
    return tensors


def write_tensors(tensors: Mapping[str, Tensor], file: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file, computing deferred tensors one after the other.

    Args:
        tensors: by name; from any device.
        file: where; one that is there is replaced when all is written.
        metadata: texts to keep in its header.
    """
    # larger elements first keeps all aligned
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name in names:
        tensor = tensors[name]
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    partial = file.with_name(f".{file.name}.partial")
    try:
        with partial.open("wb") as out:
            out.write(len(text).to_bytes(8, "little") + text)
            for name in names:
                out.write(_bytes(compute(tensors[name])))
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def refuse_pickle(file: Path) -> None:
    """Refuse a file that only ``pickle`` can read.

    Raises:
        ValueError: if its ending or its first bytes are those of PyTorch's older formats.
    """
    with file.open("rb") as opened:
        start = opened.read(9)
    is_safetensors = start[8:] == b"{"  # after the length of its header, which may look like the start of a pickle
    if file.suffix in _PICKLES or (start.startswith(_PICKLE_STARTS) and not is_safetensors):
        raise ValueError(
            f"{file} is a pickle (PyTorch's .bin, .pt or .ckpt), and reading one can run any code that its author "
            "wanted: only safetensors files are read. Most publishers have one beside it"
        )


def _bytes(tensor: Tensor) -> memoryview:
    # as uint8, for NumPy does not know bfloat16
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data


def _truncation(file: Path) -> str:
    """How much of the file is missing, if that is what is wrong with it."""
    found = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if not 0 < length <= _MAX_HEADER_BYTES:
            return ""
        try:
            header = json.loads(opened.read(length))
            ends = {name: entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"}
            last = max(ends, key=ends.__getitem__)
            promised = 8 + length + ends[last]
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            return ""
    if promised <= found:
        return ""
    cut = min((name for name in ends if 8 + length + ends[name] > found), key=ends.__getitem__)
    return f"cut off in {cut}: it has {found} bytes and promises {promised}"
