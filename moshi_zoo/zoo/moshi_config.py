"""Moshi's sizes as Kyutai's config.json says them: the arguments of PyPI ``moshi``'s ``LMModel``."""

from collections.abc import Mapping
from typing import Any

from moshi_zoo.modules.gating import gated_width
from moshi_zoo.registry import Spec
from moshi_zoo.zoo.config_values import positive, whole_number

# What a size may be: more than any model has, and little enough that a hostile file cannot make us lay out the world.
_MOST: dict[str, int] = {
    "dim": 2**17,
    "text_card": 2**24,
    "card": 2**24,
    "n_q": 256,
    "dep_q": 256,
    "num_heads": 4096,
    "num_layers": 1000,
    "context": 2**24,
    "depformer_dim": 2**17,
    "depformer_num_heads": 4096,
    "depformer_num_layers": 1000,
    "depformer_dim_feedforward": 2**20,
    "depformer_low_rank_embeddings": 2**17,
    "kv_repeat": 4096,
    "extra_heads_num_heads": 1000,
    "extra_heads_dim": 1000,
}
_REQUIRED = list(_MOST)[:11]
# What this project's Moshi always is; what the reference takes it for where a config does not say
_ALWAYS = {
    "norm": ("rms_norm_f32", "layer_norm"),
    "gating": ("silu", "none"),
    "positional_embedding": ("rope", "sin"),
    "causal": (True, True),
    "layer_scale": (None, None),
    "depformer_gating": ("silu", "silu"),
    "depformer_layer_scale": (None, None),
    "depformer_pos_emb": ("none", "sin"),
    "depformer_multi_linear": (True, False),
    "depformer_weights_per_step": (True, False),
    "depformer_kv_repeat": (1, 1),
    "depformer_norm": (None, None),
    "bias_proj": (False, False),
    "norm_emb": (False, False),
    "cross_attention": (False, False),
    "demux_second_stream": (False, False),
    "demux_second_text_stream": (False, False),
    "text_card_out": (None, None),
    "existing_text_padding_id": (3, 3),
    "existing_text_end_padding_id": (0, 0),
    "quantize": (False, False),
    "conditioners": ({}, {}),
    "fuser": (None, None),
}
_WRITTEN = [key for key, (ours, theirs) in _ALWAYS.items() if ours != theirs]


def kyutai_config(spec: Spec) -> dict[str, Any]:
    """What PyPI ``moshi`` keeps in config.json, for a complete portable spec.

    Raises:
        ValueError: if the model has parts that the format cannot say.
    """
    args = spec["init_args"]
    size, depth = args["transformer"], args["depth"]
    num_codebooks = args["num_own_codebooks"] + args["num_user_codebooks"]
    for owner, key, needed in [
        (size, "norm", "rms"),
        (size, "mlp", "swiglu"),
        (size, "layer_scale", None),
        (size, "norm_eps", 1e-8),
        (depth, "norm_eps", 1e-8),
        (depth, "parallel", False),
    ]:
        if owner[key] != needed:
            raise ValueError(f"this model's {key} is {owner[key]!r}; Kyutai's Moshi only knows {needed!r}")
    config = {
        "model_type": "moshi",
        "dim": args["dim"],
        "text_card": args["vocab_size"],
        "n_q": num_codebooks,
        "dep_q": num_codebooks if args["user_heads"] else args["num_own_codebooks"],
        "card": args["codebook_size"],
        "num_heads": size["num_heads"],
        "num_layers": size["num_layers"],
        "hidden_scale": _scale(args["dim"], size["hidden_dim"]),
        "context": size["context"],
        "max_period": size["max_period"],
        "depformer_dim": depth["dim"],
        "depformer_dim_feedforward": _plain(depth["dim"], depth["hidden_dim"]),
        "depformer_num_heads": depth["num_heads"],
        "depformer_num_layers": depth["num_layers"],
        "delays": list(args["delays"]),
        **{key: _ALWAYS[key][0] for key in _WRITTEN},
    }
    if size["num_kv_heads"] not in (None, size["num_heads"]):  # the depth transformer would inherit it
        config |= {"kv_repeat": size["num_heads"] // size["num_kv_heads"], "depformer_kv_repeat": 1}
    if depth["schedule"] is not None:
        config["depformer_weights_per_step_schedule"] = list(depth["schedule"])
    if depth["embedding_rank"]:
        config["depformer_low_rank_embeddings"] = depth["embedding_rank"]
    if args["num_extra_heads"]:
        config |= {"extra_heads_num_heads": args["num_extra_heads"], "extra_heads_dim": args["extra_head_dim"]}
    return config


def spec_from_kyutai(config: Mapping[str, Any]) -> Spec:
    """The portable spec of a Moshi from its config.json.

    Where all codes are generated, it does not say whether half of them are a user's. They are taken for it if both
    halves have the same delays, which differ among themselves.

    Raises:
        ValueError: if it says what a Moshi of this project cannot be.
    """
    for key, (needed, default) in _ALWAYS.items():
        found = default if config.get(key) is None else config[key]
        if found != needed:
            raise ValueError(f"config.json says {key} {found!r}, but this project's Moshi has {needed!r}")
    sizes = {key: _whole(config, key) for key in _REQUIRED}
    delays = _numbers(config, "delays")
    own, user = _speakers(sizes["n_q"], sizes["dep_q"], delays)
    kv_repeat = _whole(config, "kv_repeat", default=1)
    scale = positive(config, "hidden_scale", 4)
    plain = int(scale * sizes["dim"])
    plain_depth = _whole(config, "depformer_dim_feedforward", default=int(scale * sizes["depformer_dim"]))
    rank = config.get("depformer_low_rank_embeddings")
    return {
        "component": "moshi",
        "init_args": {
            "vocab_size": sizes["text_card"],
            "dim": sizes["dim"],
            "transformer": {
                "num_layers": sizes["num_layers"],
                "num_heads": sizes["num_heads"],
                "num_kv_heads": None if kv_repeat == 1 else sizes["num_heads"] // kv_repeat,
                "hidden_dim": _gated(sizes["dim"], plain),
                "context": sizes["context"],
                "max_period": positive(config, "max_period", 10_000.0),
                "layer_scale": None,
                "norm": "rms",
                "norm_eps": 1e-8,
                "mlp": "swiglu",
                "initial": "normal",
            },
            "num_own_codebooks": own,
            "num_user_codebooks": user,
            "codebook_size": sizes["card"],
            "delays": delays,
            "depth": {
                "dim": sizes["depformer_dim"],
                "num_layers": sizes["depformer_num_layers"],
                "num_heads": sizes["depformer_num_heads"],
                "hidden_dim": _gated(sizes["depformer_dim"], plain_depth),
                "schedule": _numbers(config, "depformer_weights_per_step_schedule") or None,
                "embedding_rank": None if rank is None else _whole(config, "depformer_low_rank_embeddings"),
            },
            "user_heads": own < sizes["dep_q"],
            "num_extra_heads": _whole(config, "extra_heads_num_heads", default=0, least=0),
            "extra_head_dim": _whole(config, "extra_heads_dim", default=6),
        },
    }


def _speakers(n_q: int, dep_q: int, delays: list[int]) -> tuple[int, int]:
    """How many of the codebooks are Moshi's and how many the user's."""
    if dep_q > n_q:
        raise ValueError(f"config.json says dep_q {dep_q}, but there are only n_q {n_q} codebooks")
    half = n_q // 2
    first, second = delays[1 : 1 + half], delays[1 + half :]
    if dep_q == n_q and first == second and len(set(first)) > 1:
        return half, half
    return dep_q, n_q - dep_q


def _plain(dim: int, hidden_dim: int) -> int:
    """The width of a plain layer for which the reference makes a gated one of this width."""
    for plain in ((3 * hidden_dim + 1) // 2, 3 * hidden_dim // 2 + 1):
        if _gated(dim, plain) == hidden_dim:
            return plain
    raise ValueError(f"Kyutai's layout cannot say a hidden_dim of {hidden_dim} at dim {dim}; one more or less it can")


def _gated(dim: int, plain: int) -> int:
    return gated_width(dim, (plain + 0.5) / dim)


def _scale(dim: int, hidden_dim: int) -> float:
    plain = _plain(dim, hidden_dim)
    exact = plain / dim
    return exact if int(exact * dim) == plain else (plain + 0.5) / dim


def _whole(config: Mapping[str, Any], key: str, *, default: int | None = None, least: int = 1) -> int:
    return whole_number(config, key, _MOST[key], default=default, least=least)


def _numbers(config: Mapping[str, Any], key: str) -> list[int]:
    value = config.get(key) or []
    if not isinstance(value, list) or len(value) > 1024 or not all(type(x) is int and 0 <= x <= 10_000 for x in value):
        raise ValueError(f"config.json says {key} {value!r}; it must be a list of whole numbers from 0 to 10000")
    return value
