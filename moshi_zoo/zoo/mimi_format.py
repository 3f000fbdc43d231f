"""Mimi in the layouts of Kyutai and of Hugging Face: names, shapes and configuration, bit for bit both ways.

Beyond names three things differ. Kyutai and Hugging Face keep the quantizer's projections as convolutions of width 1;
Hugging Face splits the fused attention product, and rotates half vectors instead of neighbouring pairs, so the rows of
its queries and keys come in another order.
"""

import re
from collections.abc import Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor

from moshi_zoo.registry import Spec
from moshi_zoo.zoo.names import NameTable, Tensors
from moshi_zoo.zoo.rotary_rows import to_halves, to_pairs

OURS, KYUTAI, HF = 0, 1, 2

_LAYER = [  # of a transformer
    ("attention_norm.{p}", "norm1.{p}", "input_layernorm.{p}"),
    ("attention.in_proj.{p}", "self_attn.in_proj_{p}", "self_attn.in_proj.{p}"),  # Hugging Face's is made by _split
    ("attention.out_proj.{p}", "self_attn.out_proj.{p}", "self_attn.o_proj.{p}"),
    ("attention_scale.{p}", "layer_scale_1.{p}", "self_attn_layer_scale.{p}"),
    ("mlp_norm.{p}", "norm2.{p}", "post_attention_layernorm.{p}"),
    ("mlp.0.{p}", "linear1.{p}", "mlp.fc1.{p}"),
    ("mlp.2.{p}", "linear2.{p}", "mlp.fc2.{p}"),
    ("mlp_scale.{p}", "layer_scale_2.{p}", "mlp_layer_scale.{p}"),
]
_CODEBOOK = [
    ("embedding_sum", "embedding_sum", "embed_sum"),
    ("cluster_usage", "cluster_usage", "cluster_usage"),
    ("initialized", "_initialized", "initialized"),
]
_BRANCH = [("semantic", "rvq_first", "semantic_residual"), ("acoustic", "rvq_rest", "acoustic_residual")]

_TABLE = NameTable(
    [
        *[
            tuple(
                f"{{side}}_transformer.{stack}layers.{{n}}.{name}"
                for stack, name in zip(("", "transformer.", ""), row, strict=True)
            )
            for row in _LAYER
        ],
        (
            "{side}.layers.{n}.layers.{m}.{p}",
            "{side}.model.{n}.block.{m}.conv.conv.{p}",
            "{side}.layers.{n}.block.{m}.conv.{p}",
        ),
        ("{side}.layers.{n}.{p}", "{side}.model.{n}.conv.conv.{p}", "{side}.layers.{n}.conv.{p}"),
        ("downsample.{p}", "downsample.conv.conv.conv.{p}", "downsample.conv.{p}"),
        ("upsample.{p}", "upsample.convtr.convtr.convtr.{p}", "upsample.conv.{p}"),
        *[
            (
                f"quantizer.{a}.{{io}}_proj.{{p}}",
                f"quantizer.{b}.{{io}}_proj.{{p}}",
                f"quantizer.{c}_vector_quantizer.{{io}}_proj.{{p}}",
            )
            for a, b, c in _BRANCH
        ],
        *[
            (
                f"quantizer.{a}.codebooks.{{n}}.{x}",
                f"quantizer.{b}.vq.layers.{{n}}._codebook.{y}",
                f"quantizer.{c}_vector_quantizer.layers.{{n}}.codebook.{z}",
            )
            for a, b, c in _BRANCH
            for x, y, z in _CODEBOOK
        ],
    ]
)
# What Kyutai's own loader still accepts, in today's names; and what its training checkpoints carried beside the codec.
_LEGACY = [
    (r"self_attn\.in_proj(s\.0)?\.weight$", "self_attn.in_proj_weight"),
    (r"self_attn\.out_projs\.0\.weight$", "self_attn.out_proj.weight"),
    (r"\._codebook\.inited$", "._codebook._initialized"),
    (r"\._codebook\.cluster_size$", "._codebook.cluster_usage"),
    (r"\._codebook\.(embed_avg|embed_sum)$", "._codebook.embedding_sum"),
    (r"\.convtr\.convtr\.(weight|bias)$", r".conv.conv.\1"),  # of the decoder; see to_kyutai
]
_TRAINING_ONLY = re.compile(r"wavlm_.*")
_PROJECTION = re.compile(r"quantizer\..*_proj\.weight")
_NESTED = re.compile(r"(encoder|decoder)\.(?:\w+_seanet|(\w+_transformer)|(downsample|upsample))\.")


def from_kyutai(tensors: Mapping[str, Tensor]) -> Tensors:
    """Kyutai's names (old spellings too) -> ours."""
    current = {}
    for name, tensor in tensors.items():
        if not _TRAINING_ONLY.fullmatch(name):
            resample = name.startswith("upsample.")
            for old, new in _LEGACY[: -1 if resample else None]:
                name = re.sub(old, new, name)
            current[name] = tensor
    return _flat_projections(_TABLE.rename(current, KYUTAI, OURS))


def to_kyutai(tensors: Mapping[str, Tensor]) -> Tensors:
    """Our names -> those of the released file."""
    renamed = _TABLE.rename(_conv_projections(tensors), OURS, KYUTAI)
    outer = {0, max(int(m[1]) for name in renamed if (m := re.match(r"decoder\.model\.(\d+)\.", name)))}

    def transposed(match: re.Match[str]) -> str:  # all but the decoder's outermost convolutions are transposed ones
        return match[0] if int(match[1]) in outer else f"decoder.model.{match[1]}.convtr.convtr."

    return {re.sub(r"^decoder\.model\.(\d+)\.conv\.conv\.", transposed, name): t for name, t in renamed.items()}


def from_hf(tensors: Mapping[str, Tensor], num_heads: int) -> Tensors:
    """Hugging Face's names (the flat file's, or those of the model in memory) -> ours."""
    flat = {hf_file_name(name): tensor for name, tensor in tensors.items()}
    fused = {name: t for name, t in flat.items() if not re.search(r"\.[qkv]_proj\.weight$", name)}
    for name, queries in flat.items():
        if name.endswith(".q_proj.weight"):
            keys, values = (flat[name.replace("q_proj", f"{part}_proj")] for part in "kv")
            rows = torch.cat([to_pairs(queries, num_heads), to_pairs(keys, num_heads), values])
            fused[name.replace("q_proj", "in_proj")] = rows
    return _flat_projections(_TABLE.rename(fused, HF, OURS))


def to_hf(tensors: Mapping[str, Tensor], num_heads: int) -> Tensors:
    """Our names -> those of a Hugging Face file."""
    renamed = _TABLE.rename(_conv_projections(tensors), OURS, HF)
    split = {}
    for name, tensor in renamed.items():
        if name.endswith("self_attn.in_proj.weight"):
            queries, keys, values = tensor.chunk(3)
            parts = {"q": to_halves(queries, num_heads), "k": to_halves(keys, num_heads), "v": values}
            split |= {name.replace("in_proj", f"{part}_proj"): rows.contiguous() for part, rows in parts.items()}
        else:
            split[name] = tensor
    return split


def hf_file_name(name: str) -> str:
    """What a tensor of a ``MimiModel`` in memory is called in its file, which is flatter."""
    return _NESTED.sub(_flatten_name, name)


def hf_config(spec: Spec) -> dict[str, Any]:
    """The config.json of a Hugging Face ``MimiModel`` for a complete portable spec.

    Raises:
        ValueError: if the codec has parts that the format cannot say.
    """
    args, seanet, quantizer, transformer = _parts(spec)
    return {
        "architectures": ["MimiModel"],
        "model_type": "mimi",
        "sampling_rate": args["sample_rate"],
        "audio_channels": 1,
        "hidden_size": args["dim"],
        **{theirs: seanet[ours] for ours, theirs in _SEANET_HF.items()},
        "use_causal_conv": True,
        "use_conv_shortcut": False,
        "pad_mode": "constant",
        "trim_right_ratio": 1.0,
        "codebook_size": quantizer["codebook_size"],
        "codebook_dim": quantizer["codebook_dim"],
        "vector_quantization_hidden_dimension": quantizer["codebook_dim"],
        "num_quantizers": quantizer["num_codebooks"],
        "num_semantic_quantizers": 1,
        "upsample_groups": args["dim"],
        "num_hidden_layers": transformer["num_layers"],
        "intermediate_size": transformer["hidden_dim"],
        "num_attention_heads": transformer["num_heads"],
        "num_key_value_heads": transformer["num_heads"],
        "head_dim": args["dim"] // transformer["num_heads"],
        "hidden_act": "gelu",
        "norm_eps": 1e-5,
        "attention_bias": False,
        "sliding_window": transformer["context"],
        "rope_theta": transformer["max_period"],
        "rope_parameters": {"rope_type": "default", "rope_theta": transformer["max_period"]},
        "layer_scale_initial_scale": transformer["layer_scale"],
    }


def spec_from_hf(config: Mapping[str, Any]) -> Spec:
    """The portable spec of a Hugging Face ``MimiModel`` from its config.json; what is absent has the released value.

    Raises:
        ValueError: if it is no Mimi.
    """
    if config.get("model_type") != "mimi":
        raise ValueError(f"config.json is of a {config.get('model_type')!r} model, not of a 'mimi'")
    rope = config.get("rope_parameters") or {}
    seanet = {ours: config.get(theirs, _SEANET_RELEASED[ours]) for ours, theirs in _SEANET_HF.items()}
    transformer = {
        "num_layers": config.get("num_hidden_layers", 8),
        "num_heads": config.get("num_attention_heads", 8),
        "hidden_dim": config.get("intermediate_size", 2048),
        "context": config.get("sliding_window", 250),
        "layer_scale": config.get("layer_scale_initial_scale", 0.01),
        "max_period": float(rope.get("rope_theta", config.get("rope_theta", 10_000.0))),
    }
    quantizer = {
        "num_codebooks": config.get("num_quantizers", 32),
        "codebook_size": config.get("codebook_size", 2048),
        "codebook_dim": config.get("codebook_dim", 256),
    }
    return {
        "component": "mimi",
        "init_args": {
            "encoder": {"component": "seanet-encoder", "init_args": seanet},
            "decoder": {"component": "seanet-decoder", "init_args": seanet},
            "quantizer": {"component": "split-rvq", "init_args": quantizer},
            "encoder_transformer": transformer,
            "decoder_transformer": transformer,
            "dim": config.get("hidden_size", 512),
            "sample_rate": config.get("sampling_rate", 24_000),
        },
    }


def kyutai_config(spec: Spec) -> dict[str, Any]:
    """What PyPI ``moshi``'s ``loaders.get_mimi`` takes as ``mimi_config`` for a complete portable spec.

    Raises:
        ValueError: if the codec has parts that the format cannot say.
    """
    args, seanet, quantizer, transformer = _parts(spec)
    dim = args["dim"]
    return {
        "channels": 1,
        "sample_rate": args["sample_rate"],
        "frame_rate": args["sample_rate"] / (prod(seanet["ratios"]) * args["stride"]),
        "seanet": {
            "channels": 1,
            "dimension": dim,
            "causal": True,
            "n_filters": seanet["num_filters"],
            "n_residual_layers": seanet["num_residual_layers"],
            "activation": "ELU",
            "compress": seanet["compress"],
            "dilation_base": seanet["dilation_base"],
            "disable_norm_outer_blocks": 0,
            "kernel_size": seanet["kernel_size"],
            "residual_kernel_size": seanet["residual_kernel_size"],
            "last_kernel_size": seanet["last_kernel_size"],
            "norm": "none",
            "pad_mode": "constant",
            "ratios": list(seanet["ratios"]),
            "true_skip": True,
        },
        "transformer": {
            "d_model": dim,
            "num_heads": transformer["num_heads"],
            "num_layers": transformer["num_layers"],
            "causal": True,
            "layer_scale": transformer["layer_scale"],
            "context": transformer["context"],
            "conv_layout": True,
            "max_period": transformer["max_period"],
            "gating": "none",
            "norm": "layer_norm",
            "positional_embedding": "rope",
            "dim_feedforward": transformer["hidden_dim"],
            "input_dimension": dim,
            "output_dimensions": [dim],
        },
        "quantizer": {
            "dimension": quantizer["codebook_dim"],
            "n_q": quantizer["num_codebooks"],
            "bins": quantizer["codebook_size"],
            "input_dimension": dim,
            "output_dimension": dim,
        },
    }


_SEANET_HF = {
    "num_filters": "num_filters",
    "ratios": "upsampling_ratios",
    "kernel_size": "kernel_size",
    "last_kernel_size": "last_kernel_size",
    "residual_kernel_size": "residual_kernel_size",
    "num_residual_layers": "num_residual_layers",
    "dilation_base": "dilation_growth_rate",
    "compress": "compress",
}
_SEANET_RELEASED = {
    "num_filters": 64,
    "ratios": [8, 6, 5, 4],
    "kernel_size": 7,
    "last_kernel_size": 3,
    "residual_kernel_size": 3,
    "num_residual_layers": 1,
    "dilation_base": 2,
    "compress": 2,
}


def _parts(spec: Spec) -> tuple[Spec, Spec, Spec, Spec]:
    """Arguments of the codec, its SEANet, its quantizer and its transformer; both sides must be mirrors."""
    args = spec["init_args"]
    for part, needed in [("encoder", "seanet-encoder"), ("decoder", "seanet-decoder"), ("quantizer", "split-rvq")]:
        if args[part]["component"] != needed:
            raise ValueError(
                f"this codec's {part} is a {args[part]['component']}, and the other formats only know {needed}: "
                "train a preset such as mimi-base to exchange weights"
            )
    for a, b in [("encoder", "decoder"), ("encoder_transformer", "decoder_transformer")]:
        ours, theirs = (args[k].get("init_args", args[k]) if args[k] else None for k in (a, b))
        if ours != theirs or not ours:
            raise ValueError(f"the other formats need equal sizes in {a} and {b}; here they are {ours} and {theirs}")
    return args, args["encoder"]["init_args"], args["quantizer"]["init_args"], args["encoder_transformer"]


def _flat_projections(tensors: Tensors) -> Tensors:
    return {name: t.squeeze(-1) if _PROJECTION.fullmatch(name) else t for name, t in tensors.items()}


def _conv_projections(tensors: Mapping[str, Tensor]) -> Tensors:
    return {name: t.unsqueeze(-1) if _PROJECTION.fullmatch(name) else t for name, t in tensors.items()}


def _flatten_name(match: re.Match[str]) -> str:
    side, transformer, resample = match.groups()
    return f"{transformer or resample or side}."
