"""Mimi's sizes as the configurations of Kyutai and of Hugging Face say them."""

from collections.abc import Mapping
from math import prod
from typing import Any

from moshi_zoo.registry import Spec
from moshi_zoo.zoo.config_values import positive, whole_number


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
    if not isinstance(rope, Mapping):
        raise ValueError(f"config.json says rope_parameters {rope!r}; they must be an object")
    sizes = {key: whole_number(config, key, most, default=usual) for key, (usual, most) in _SIZES.items()}
    ratios = config.get("upsampling_ratios", _SEANET_RELEASED["ratios"])
    if (
        not isinstance(ratios, list)
        or not 0 < len(ratios) <= 16
        or not all(type(x) is int and 0 < x < 1000 for x in ratios)
    ):
        raise ValueError(f"config.json says upsampling_ratios {ratios!r}; they must be a list of whole numbers")
    seanet = {ours: sizes[theirs] for ours, theirs in _SEANET_HF.items() if ours != "ratios"} | {"ratios": ratios}
    transformer = {
        "num_layers": sizes["num_hidden_layers"],
        "num_heads": sizes["num_attention_heads"],
        "hidden_dim": sizes["intermediate_size"],
        "context": sizes["sliding_window"],
        "layer_scale": positive(config, "layer_scale_initial_scale", 0.01),
        "max_period": positive(rope, "rope_theta", config.get("rope_theta", 10_000.0)),
    }
    quantizer = {
        "num_codebooks": sizes["num_quantizers"],
        "codebook_size": sizes["codebook_size"],
        "codebook_dim": sizes["codebook_dim"],
    }
    return {
        "component": "mimi",
        "init_args": {
            "encoder": {"component": "seanet-encoder", "init_args": seanet},
            "decoder": {"component": "seanet-decoder", "init_args": seanet},
            "quantizer": {"component": "split-rvq", "init_args": quantizer},
            "encoder_transformer": transformer,
            "decoder_transformer": transformer,
            "dim": sizes["hidden_size"],
            "sample_rate": sizes["sampling_rate"],
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
_SEANET_RELEASED: dict[str, Any] = {
    "num_filters": 64,
    "ratios": [8, 6, 5, 4],
    "kernel_size": 7,
    "last_kernel_size": 3,
    "residual_kernel_size": 3,
    "num_residual_layers": 1,
    "dilation_base": 2,
    "compress": 2,
}
# What a size is in the release, and what it may be: little enough that a hostile file cannot make us lay out the world.
_SIZES = {
    "hidden_size": (512, 2**14),
    "sampling_rate": (24_000, 2**20),
    "num_hidden_layers": (8, 1000),
    "num_attention_heads": (8, 1024),
    "intermediate_size": (2048, 2**17),
    "sliding_window": (250, 2**20),
    "num_quantizers": (32, 256),
    "codebook_size": (2048, 2**20),
    "codebook_dim": (256, 2**14),
    **{theirs: (_SEANET_RELEASED[ours], 1024) for ours, theirs in _SEANET_HF.items() if ours != "ratios"},
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
