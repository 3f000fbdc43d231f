"""Moshi's tensors in the layout of transformers' ``MoshiForConditionalGeneration``, bit for bit both ways.

That class holds the codec, too, under ``audio_encoder.``. It turns half vectors (:mod:`moshi_zoo.zoo.rotary_rows`), and
keeps queries, keys and values apart; the steps of the depth transformer are in one tensor there, as here.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from moshi_zoo.registry import Spec
from moshi_zoo.zoo.fit import check_fit
from moshi_zoo.zoo.names import NameTable, Tensors
from moshi_zoo.zoo.outline import outline
from moshi_zoo.zoo.rotary_rows import to_halves, to_pairs

OURS, HF = 0, 1
CODEC = "audio_encoder."
"""What the names of the codec's tensors begin with."""
_LAYER = [
    ("attention_norm.weight", "input_layernorm.weight"),
    ("mlp_norm.weight", "post_attention_layernorm.weight"),
]
_TEMPORAL_LAYER = [
    *_LAYER,
    ("attention.out_proj.weight", "self_attn.o_proj.linear.weight"),
    ("attention.{p}_proj.weight", "self_attn.{p}_proj.linear.weight"),  # parts of attention.in_proj
    ("mlp.in_proj.weight", "mlp.fc1.weight"),
    ("mlp.out_proj.weight", "mlp.fc2.weight"),
]
_DEPTH_LAYER = [
    *_LAYER,
    ("attention_out.weight", "self_attn.o_proj.linear.weight"),
    ("attention_{p}.weight", "self_attn.{p}_proj.linear.weight"),  # parts of attention_in
    ("mlp_in.weight", "mlp.fc1.weight"),
    ("mlp_out.weight", "mlp.fc2.weight"),
]
_TABLE = NameTable(
    [
        ("temporal.embedding.weight", "decoder.model.embed_tokens.weight"),
        ("audio_embedding.weight.{n}", "embed_tokens.{n}.weight"),
        ("temporal.norm.weight", "decoder.model.norm.weight"),
        ("temporal.output.weight", "decoder.lm_head.weight"),
        ("depth.text_embedding.weight", "depth_decoder.text_embed_tokens.weight"),
        ("depth.embedding.weight.{n}", "depth_decoder.embed_tokens.{n}.weight"),
        ("depth.in_proj.weight", "depth_decoder.input_projections.weight"),
        ("depth.output.weight", "depth_decoder.lm_heads.weight"),
        *[(f"temporal.transformer.layers.{{n}}.{a}", f"decoder.model.layers.{{n}}.{b}") for a, b in _TEMPORAL_LAYER],
        *[(f"depth.layers.{{n}}.{a}", f"depth_decoder.layers.{{n}}.{b}") for a, b in _DEPTH_LAYER],
    ]
)


def from_hf(tensors: Mapping[str, Tensor], spec: Spec) -> Tensors:
    """Hugging Face's names -> ours; the codec's tensors are left out.

    Raises:
        ValueError: naming the tensors that are missing, unknown, or of another shape than the configuration says.
    """
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(CODEC)}
    own = outline(spec).tensors
    check_fit(tensors, to_hf(own, spec))
    pieces = _TABLE.rename(tensors, HF, OURS)
    text = pieces.pop("temporal.embedding.weight")
    pieces |= {"temporal.embedding.weight": text[:-1], "initial_text": text[-1]}
    return {name: _joined(name, pieces, spec, like) for name, like in own.items()}


def to_hf(tensors: Mapping[str, Tensor], spec: Spec) -> Tensors:
    """Our names -> Hugging Face's, without the codec.

    Args:
        tensors: all of the model's.
        spec: complete and portable.
    """
    pieces = {}
    for name, tensor in tensors.items():
        pieces |= _cut(name, tensor, spec)
    pieces["temporal.embedding.weight"] = torch.cat(
        [pieces["temporal.embedding.weight"], pieces.pop("initial_text")[None]]
    )
    return _TABLE.rename(pieces, OURS, HF)


def _cut(name: str, tensor: Tensor, spec: Spec) -> Tensors:
    """What one of our tensors is there, still with our words: rows apart, queries, keys and values apart."""
    args = spec["init_args"]
    path, _, leaf = name.rpartition(".")
    if path in ("audio_embedding", "depth.embedding"):
        return {f"{name}.{row}": table for row, table in enumerate(tensor.unflatten(0, (_num_tables(path, args), -1)))}
    if path.endswith(".attention_in"):
        parts = zip("qkv", tensor.chunk(3, dim=1), strict=True)
        return {f"{path[: -len('in')]}{part}.{leaf}": rows for part, rows in parts}
    if path.endswith(".attention.in_proj"):
        heads = _heads(spec)
        width = args["dim"] // heads["q"]
        parts = zip("qkv", tensor.split([width * heads[part] for part in "qkv"]), strict=True)
        stem = path[: -len("in_proj")]
        return {
            f"{stem}{part}_proj.{leaf}": rows if part == "v" else to_halves(rows, heads[part]) for part, rows in parts
        }
    return {name: tensor}


def _joined(name: str, pieces: Tensors, spec: Spec, like: Tensor) -> Tensor:
    """One of our tensors from the pieces of :func:`_cut`."""
    path, _, leaf = name.rpartition(".")
    if path in ("audio_embedding", "depth.embedding"):
        rows = range(_num_tables(path, spec["init_args"]))
        return torch.cat([pieces[f"{name}.{row}"] for row in rows]).view(like.shape)
    if path.endswith(".attention_in"):
        return torch.cat([pieces[f"{path[: -len('in')]}{part}.{leaf}"] for part in "qkv"], dim=1)
    if path.endswith(".attention.in_proj"):
        heads, stem = _heads(spec), path[: -len("in_proj")]
        rows = {part: pieces[f"{stem}{part}_proj.{leaf}"] for part in "qkv"}
        return torch.cat([rows["v"] if part == "v" else to_pairs(rows[part], heads[part]) for part in "qkv"])
    return pieces[name]


def _num_tables(path: str, args: Mapping[str, Any]) -> int:
    return 2 * args["num_own_codebooks"] if path == "audio_embedding" else args["num_own_codebooks"] - 1


def _heads(spec: Spec) -> dict[str, int]:
    size = spec["init_args"]["transformer"]
    kv_heads = size.get("num_kv_heads") or size["num_heads"]
    return {"q": size["num_heads"], "k": kv_heads, "v": kv_heads}
