"""Moshi's sizes as the config.json of transformers' ``MoshiForConditionalGeneration`` says them.

That class knows the plain family: as many codes of the user as of Moshi, all codes but each speaker's first one frame
late, and steps of the depth transformer that share nothing.
"""

from collections.abc import Mapping
from typing import Any

from moshi_zoo.registry import Spec
from moshi_zoo.zoo.config_values import positive, whole_number

_ALWAYS = {
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "rms_norm_eps": 1e-8,
}
# What a size may be: more than any model has, and little enough that a hostile file cannot make us lay out the world.
_MOST = {
    "vocab_size": 2**24,
    "hidden_size": 2**17,
    "ffn_dim": 2**21,
    "num_hidden_layers": 1000,
    "num_attention_heads": 4096,
    "num_key_value_heads": 4096,
    "sliding_window": 2**24,
    "audio_vocab_size": 2**24,
    "num_codebooks": 128,
}


def is_hf(config: Mapping[str, Any]) -> bool:
    """Whether a config.json of a ``moshi`` is transformers' (and not Kyutai's, which calls itself the same)."""
    return "depth_decoder_config" in config


def hf_config(spec: Spec, codec: Mapping[str, Any]) -> dict[str, Any]:
    """The config.json for a complete portable spec.

    Args:
        spec: of the Moshi.
        codec: the config.json of its codec, a Hugging Face ``MimiModel``.

    Raises:
        ValueError: if the model has parts that the format cannot say, or the codec is not its own.
    """
    args, size, depth = spec["init_args"], spec["init_args"]["transformer"], spec["init_args"]["depth"]
    num_codebooks = args["num_own_codebooks"]
    for owner, key, needed in [
        (args, "num_user_codebooks", num_codebooks),
        (args, "delays", _delays(num_codebooks)),
        (args, "user_heads", False),
        (args, "num_extra_heads", 0),
        (size, "norm", "rms"),
        (size, "mlp", "swiglu"),
        (size, "layer_scale", None),
        (size, "norm_eps", _ALWAYS["rms_norm_eps"]),
        (depth, "norm_eps", _ALWAYS["rms_norm_eps"]),
        (depth, "schedule", None),
        (depth, "embedding_rank", None),
    ]:
        if owner[key] != needed:
            raise ValueError(f"this model's {key} is {owner[key]!r}; Hugging Face's Moshi only knows {needed!r}")
    if codec["codebook_size"] != args["codebook_size"] or codec["num_quantizers"] < num_codebooks:
        raise ValueError(
            f"the codec has {codec['num_quantizers']} codebooks of {codec['codebook_size']} codes, but this model "
            f"speaks {num_codebooks} of {args['codebook_size']}: name the one that it was trained with"
        )
    return {
        "architectures": ["MoshiForConditionalGeneration"],
        "model_type": "moshi",
        "vocab_size": args["vocab_size"],
        "hidden_size": args["dim"],
        "ffn_dim": 2 * size["hidden_dim"],
        "num_hidden_layers": size["num_layers"],
        "num_attention_heads": size["num_heads"],
        "num_key_value_heads": size["num_kv_heads"] or size["num_heads"],
        "head_dim": args["dim"] // size["num_heads"],
        "sliding_window": size["context"],
        "max_position_embeddings": size["context"],
        "rope_parameters": {"rope_type": "default", "rope_theta": size["max_period"]},
        "audio_vocab_size": args["codebook_size"],
        "num_codebooks": num_codebooks,
        **_ALWAYS,
        "depth_decoder_config": {
            "model_type": "moshi_depth",
            "vocab_size": args["vocab_size"],
            "input_size": args["dim"],
            "hidden_size": depth["dim"],
            "ffn_dim": 2 * depth["hidden_dim"],
            "num_hidden_layers": depth["num_layers"],
            "num_attention_heads": depth["num_heads"],
            "num_key_value_heads": depth["num_heads"],
            "head_dim": depth["dim"] // depth["num_heads"],
            "sliding_window": num_codebooks,
            "max_position_embeddings": num_codebooks + 1,
            "audio_vocab_size": args["codebook_size"],
            "num_codebooks": num_codebooks,
            **_ALWAYS,
        },
        "audio_encoder_config": dict(codec),
    }


def spec_from_hf(config: Mapping[str, Any]) -> Spec:
    """The portable spec of a Hugging Face Moshi from its config.json.

    Raises:
        ValueError: if it is none, or says what our Moshi cannot be.
    """
    depth = config.get("depth_decoder_config")
    if config.get("model_type") != "moshi" or not isinstance(depth, Mapping):
        raise ValueError(f"config.json is of a {config.get('model_type')!r} model, not of a 'moshi' of transformers")
    codec = config.get("audio_encoder_config")
    codes = config.get("audio_vocab_size") or (codec.get("codebook_size") if isinstance(codec, Mapping) else None)
    config = {**_RELEASED, **config, "audio_vocab_size": codes or 2048}
    depth = {**_RELEASED_DEPTH, **depth}
    config["num_key_value_heads"] = config.get("num_key_value_heads") or config["num_attention_heads"]
    depth["num_key_value_heads"] = depth.get("num_key_value_heads") or depth["num_attention_heads"]
    sizes, steps = ({key: whole_number(part, key, _MOST[key]) for key in _MOST} for part in (config, depth))
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(rope, Mapping):
        raise ValueError(f"config.json says rope_parameters {rope!r}; they must be an object")
    expected = [
        ("rope_type", rope.get("rope_type", rope.get("type", "default")), "default"),
        ("head_dim", config.get("head_dim") or _head_dim(sizes), _head_dim(sizes)),
        ("depth_decoder_config.head_dim", depth.get("head_dim") or _head_dim(steps), _head_dim(steps)),
        ("depth_decoder_config.num_key_value_heads", steps["num_key_value_heads"], steps["num_attention_heads"]),
    ]
    for key, needed in _ALWAYS.items():
        expected += [
            (key, config.get(key, needed), needed),
            (f"depth_decoder_config.{key}", depth.get(key, needed), needed),
        ]
    for key, found, needed in expected:
        if found != needed:
            raise ValueError(f"config.json says {key} {found!r}, but this project's Moshi has {needed!r}")
    kv_heads = sizes["num_key_value_heads"]
    return {
        "component": "moshi",
        "init_args": {
            "vocab_size": sizes["vocab_size"],
            "dim": sizes["hidden_size"],
            "transformer": {
                "num_layers": sizes["num_hidden_layers"],
                "num_heads": sizes["num_attention_heads"],
                "num_kv_heads": None if kv_heads == sizes["num_attention_heads"] else kv_heads,
                "hidden_dim": sizes["ffn_dim"] // 2,
                "context": sizes["sliding_window"],
                "max_period": positive(rope, "rope_theta", config.get("rope_theta", 10_000.0)),
                "layer_scale": None,
                "norm": "rms",
                "norm_eps": _ALWAYS["rms_norm_eps"],
                "mlp": "swiglu",
                "initial": "normal",
            },
            "num_own_codebooks": sizes["num_codebooks"],
            "num_user_codebooks": sizes["num_codebooks"],
            "codebook_size": sizes["audio_vocab_size"],
            "delays": _delays(sizes["num_codebooks"]),
            "depth": {
                "dim": steps["hidden_size"],
                "num_layers": steps["num_hidden_layers"],
                "num_heads": steps["num_attention_heads"],
                "hidden_dim": steps["ffn_dim"] // 2,
            },
        },
    }


# What the two classes of transformers 5 have where a config.json does not say
_RELEASED = {
    "vocab_size": 32_000,
    "hidden_size": 4096,
    "ffn_dim": 22_528,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "sliding_window": 3000,
    "num_codebooks": 8,
}
_RELEASED_DEPTH = {
    "vocab_size": 32_000,
    "hidden_size": 1024,
    "ffn_dim": 5632,
    "num_hidden_layers": 6,
    "num_attention_heads": 16,
    "sliding_window": 8,
    "audio_vocab_size": 2048,
    "num_codebooks": 8,
}


def _delays(num_codebooks: int) -> list[int]:
    speaker = [0] + [1] * (num_codebooks - 1)
    return [0, *speaker, *speaker]


def _head_dim(sizes: Mapping[str, int]) -> float:
    return sizes["hidden_size"] / sizes["num_attention_heads"]
