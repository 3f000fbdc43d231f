"""Helium in two layouts of Hugging Face: names, shapes and configuration, bit for bit both ways.

``model_type: helium`` (Helium-1 preview) turns neighbouring pairs of channels as we do; ``model_type: llama``
(Helium-1) half vectors, so the rows of its queries and keys come in another order. Both keep queries, keys and values,
and gate and up, in products of their own.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from moshi_zoo.registry import Spec
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.zoo.config_values import positive, whole_number
from moshi_zoo.zoo.fit import check_fit
from moshi_zoo.zoo.names import NameTable, Tensors
from moshi_zoo.zoo.outline import outline
from moshi_zoo.zoo.rotary_rows import to_halves, to_pairs

Family = Literal["helium", "llama"]

OURS, HF = 0, 1
_LAYER = [
    ("attention_norm.weight", "input_layernorm.weight"),
    ("attention.in_proj.weight", "self_attn.qkv_proj.weight"),  # Hugging Face's is in parts: see _PARTS
    ("attention.out_proj.weight", "self_attn.o_proj.weight"),
    ("mlp_norm.weight", "post_attention_layernorm.weight"),
    ("mlp.in_proj.weight", "mlp.gate_up_proj.weight"),
    ("mlp.out_proj.weight", "mlp.down_proj.weight"),
]
_TABLE = NameTable(
    [
        ("embedding.weight", "model.embed_tokens.weight"),
        *[(f"transformer.layers.{{n}}.{ours}", f"model.layers.{{n}}.{hf}") for ours, hf in _LAYER],
        ("norm.weight", "model.norm.weight"),
        ("output.weight", "lm_head.weight"),
    ]
)
_PARTS = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}
_TRAINED_NOWHERE = "rotary_emb.inv_freq"  # a table that old files of Llamas carry along

# What a size may be: more than any model has, and little enough that a hostile file cannot make us lay out the world.
_LIMITS = {
    "vocab_size": 2**24,
    "hidden_size": 2**17,
    "intermediate_size": 2**20,
    "num_hidden_layers": 1000,
    "num_attention_heads": 4096,
    "num_key_value_heads": 4096,
    "max_position_embeddings": 2**24,
}


def from_hf(tensors: Mapping[str, Tensor], spec: Spec, family: Family) -> Tensors:
    """Hugging Face's names -> ours.

    Raises:
        ValueError: naming the tensors that are missing, unknown, or of another shape than the configuration says.
    """
    tensors = {name: t for name, t in tensors.items() if not name.endswith(_TRAINED_NOWHERE)}
    own = outline(spec).tensors
    check_fit(tensors, to_hf(own, spec, family))
    fused = {name: t for name, t in tensors.items() if not any(part in name for part in sum(_PARTS.values(), ()))}
    heads = _heads(spec)
    for whole, parts in _PARTS.items():
        for name in [name for name in tensors if parts[0] in name]:
            rows = {part: tensors[name.replace(parts[0], part)] for part in parts}
            if family == "llama":
                rows = {p: to_pairs(r, heads[p]) if p in heads else r for p, r in rows.items()}
            fused[name.replace(parts[0], whole)] = torch.cat(list(rows.values()))
    return _TABLE.rename(fused, HF, OURS)


def to_hf(tensors: Mapping[str, Tensor], spec: Spec, family: Family) -> Tensors:
    """Our names -> Hugging Face's."""
    heads, split = _heads(spec), {}
    for name, tensor in _TABLE.rename(tensors, OURS, HF).items():
        whole = next((whole for whole in _PARTS if whole in name), None)
        if whole is None:
            split[name] = tensor
            continue
        for part, rows in zip(_PARTS[whole], tensor.split(_rows(spec, whole)), strict=True):
            halves = family == "llama" and part in heads
            split[name.replace(whole, part)] = to_halves(rows, heads[part]) if halves else rows
    return split


def hf_config(spec: Spec, family: Family, tokenizer: Tokenizer | None = None) -> dict[str, Any]:
    """The config.json for a complete portable spec; the tokenizer says which tokens begin and end a text.

    Raises:
        ValueError: if the model has parts that the format cannot say.
    """
    args, size = spec["init_args"], spec["init_args"]["transformer"]
    for key, needed in [("norm", "rms"), ("mlp", "swiglu"), ("layer_scale", None)]:
        if size[key] != needed:
            raise ValueError(
                f"this model's {key} is {size[key]!r}; Hugging Face's Helium and Llama only know {needed!r}"
            )
    return {
        "architectures": [{"helium": "HeliumForCausalLM", "llama": "LlamaForCausalLM"}[family]],
        "model_type": family,
        "vocab_size": args["vocab_size"],
        "hidden_size": args["dim"],
        "intermediate_size": size["hidden_dim"],
        "num_hidden_layers": size["num_layers"],
        "num_attention_heads": size["num_heads"],
        "num_key_value_heads": size["num_kv_heads"] or size["num_heads"],
        "head_dim": args["dim"] // size["num_heads"],
        "hidden_act": "silu",
        "max_position_embeddings": size["context"],
        "rms_norm_eps": size["norm_eps"],
        "rope_theta": size["max_period"],
        "rope_parameters": {"rope_type": "default", "rope_theta": size["max_period"]},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        **(
            {}
            if tokenizer is None
            else {f"{name}_token_id": getattr(tokenizer, name) for name in ("bos", "eos", "pad")}
        ),
    }


def spec_from_hf(config: Mapping[str, Any]) -> Spec:
    """The portable spec of a Hugging Face Helium or Llama from its config.json.

    Raises:
        ValueError: if it is neither, or says what Helium cannot be.
    """
    family = config.get("model_type")
    if family not in get_args(Family):
        raise ValueError(f"config.json is of a {family!r} model, not of a 'helium' or a 'llama'")
    config = {"num_key_value_heads": config.get("num_attention_heads"), "max_position_embeddings": 4096, **config}
    sizes = {key: whole_number(config, key, most) for key, most in _LIMITS.items()}
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(rope, Mapping):
        raise ValueError(f"config.json says rope_parameters {rope!r}; they must be an object")
    expected = {
        "hidden_act": ("silu", config.get("hidden_act", "silu")),
        "attention_bias": (False, config.get("attention_bias", False)),
        "mlp_bias": (False, config.get("mlp_bias", False)),
        "tie_word_embeddings": (False, config.get("tie_word_embeddings", False)),
        "rope_type": ("default", rope.get("rope_type", rope.get("type", "default"))),
        "head_dim": (
            sizes["hidden_size"] / sizes["num_attention_heads"],
            config.get("head_dim") or sizes["hidden_size"] / sizes["num_attention_heads"],
        ),
    }
    for key, (needed, found) in expected.items():
        if found != needed:
            raise ValueError(f"config.json says {key} {found!r}, but a Helium has {needed!r}")
    theta = config.get("rope_theta", 100_000.0 if family == "helium" else 10_000.0)
    kv_heads = sizes["num_key_value_heads"]
    return {
        "component": "helium",
        "init_args": {
            "vocab_size": sizes["vocab_size"],
            "dim": sizes["hidden_size"],
            "transformer": {
                "num_layers": sizes["num_hidden_layers"],
                "num_heads": sizes["num_attention_heads"],
                "num_kv_heads": None if kv_heads == sizes["num_attention_heads"] else kv_heads,
                "hidden_dim": sizes["intermediate_size"],
                "context": sizes["max_position_embeddings"],
                "max_period": positive(rope, "rope_theta", theta),
                "layer_scale": None,
                "norm": "rms",
                "norm_eps": positive(config, "rms_norm_eps", 1e-8 if family == "helium" else 1e-6),
                "mlp": "swiglu",
                "initial": "normal",
            },
        },
    }


def _heads(spec: Spec) -> dict[str, int]:
    """How many heads the rows of a product make, where they are turned."""
    size = spec["init_args"]["transformer"]
    return {"q_proj": size["num_heads"], "k_proj": size.get("num_kv_heads") or size["num_heads"]}


def _rows(spec: Spec, whole: str) -> list[int]:
    """How many rows of a fused product belong to each part."""
    args, size = spec["init_args"], spec["init_args"]["transformer"]
    if whole == "gate_up_proj":
        return [size["hidden_dim"]] * 2
    heads, width = _heads(spec), args["dim"] // size["num_heads"]
    return [heads["q_proj"] * width, heads["k_proj"] * width, heads["k_proj"] * width]
