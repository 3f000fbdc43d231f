"""Moshi's tensors in the layout of Kyutai's releases: names and shapes, bit for bit both ways.

Beyond names, three things differ. What we keep in one tensor for several rows or steps is several there, but for the
attention products of the depth transformer, whose steps are packed one below the other. The initial text token is the
last row of the text embedding. Scales of norms have three dimensions.
"""

import re
from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

from moshi_zoo.registry import Spec
from moshi_zoo.zoo.fit import check_fit
from moshi_zoo.zoo.names import NameTable, Tensors
from moshi_zoo.zoo.outline import outline

OURS, KYUTAI = 0, 1
_LAYER = [  # of the temporal transformer
    ("attention_norm.weight", "norm1.alpha"),
    ("attention.in_proj.weight", "self_attn.in_proj_weight"),
    ("attention.out_proj.weight", "self_attn.out_proj.weight"),
    ("mlp_norm.weight", "norm2.alpha"),
    ("mlp.in_proj.weight", "gating.linear_in.weight"),
    ("mlp.out_proj.weight", "gating.linear_out.weight"),
]
_DEPTH_LAYER = [  # {m}: of a step, see _SEVERAL
    ("attention_norm.weight", "norm1.alpha"),
    ("attention_in.weight", "self_attn.in_proj_weight"),
    ("attention_out.weight", "self_attn.out_proj.weight"),
    ("mlp_norm.weight", "norm2.alpha"),
    ("mlp_in.weight.{m}", "gating.{m}.linear_in.weight"),
    ("mlp_out.weight.{m}", "gating.{m}.linear_out.weight"),
]
_TABLE = NameTable(
    [
        ("temporal.embedding.weight", "text_emb.weight"),
        ("audio_embedding.weight.{n}", "emb.{n}.weight"),
        *[(f"temporal.transformer.layers.{{n}}.{a}", f"transformer.layers.{{n}}.{b}") for a, b in _LAYER],
        ("temporal.norm.weight", "out_norm.alpha"),
        ("temporal.output.weight", "text_linear.weight"),
        ("depth.in_proj.weight.{n}", "depformer_in.{n}.weight"),
        ("depth.text_embedding.weight", "depformer_text_emb.weight"),
        ("depth.text_up.weight", "depformer_text_emb.low_rank.weight"),
        ("depth.embedding.weight.{n}", "depformer_emb.{n}.weight"),
        ("depth.up.weight.{n}", "depformer_emb.{n}.low_rank.weight"),
        *[(f"depth.layers.{{n}}.{a}", f"depformer.layers.{{n}}.{b}") for a, b in _DEPTH_LAYER],
        ("depth.output.weight.{n}", "linears.{n}.weight"),
        ("extra_heads.linear.weight.{n}", "extra_heads.{n}.weight"),
    ]
)
# ours in one, theirs in several
_STEPS = re.compile(r"(depth\.(in_proj|up|output|layers\.\d+\.mlp_(in|out))|extra_heads\.linear)\.weight")
_ROWS = re.compile(r"(audio_embedding|depth\.embedding)\.weight")  # too, one below the other
_PACKED = re.compile(r"depth\.layers\.\d+\.attention_(in|out)\.weight")  # both in one, theirs one below the other
_SCALE = re.compile(r"(.*_norm|temporal\.norm)\.weight")
_TEXT, _INITIAL = "temporal.embedding.weight", "initial_text"
# As the reference holds them in memory, and moshi-finetune saves them
_UNPACKED = re.compile(r"(.*\.self_attn\.)(in|out)_projs\.(\d+)\.weight")


def is_moshi(tensors: Mapping[str, Tensor]) -> bool:
    """Whether a file of Kyutai's holds a Moshi (and not a Mimi)."""
    return "text_emb.weight" in tensors


def from_kyutai(tensors: Mapping[str, Tensor], spec: Spec) -> Tensors:
    """Kyutai's names -> ours.

    Args:
        tensors: of the released files, or as the reference has them in memory.
        spec: portable.

    Raises:
        ValueError: naming the tensors that are missing, unknown, or of another shape than the spec says.
    """
    tensors = _packed(tensors)
    own = outline(spec).tensors
    check_fit(tensors, to_kyutai(own, spec))
    pieces = _TABLE.rename(tensors, KYUTAI, OURS)
    text = pieces.pop(_TEXT)
    pieces |= {_TEXT: text[:-1], _INITIAL: text[-1]}
    return {
        name: torch.cat([pieces[piece] for piece in _pieces(name, like, spec)]).view(like.shape)
        for name, like in own.items()
    }


def to_kyutai(tensors: Mapping[str, Tensor], spec: Spec) -> Tensors:
    """Our names -> those of the released files.

    Args:
        tensors: all of the model's.
        spec: complete and portable.
    """
    pieces: Tensors = {}
    for name, tensor in tensors.items():
        pieces |= _pieces(name, tensor, spec)
    pieces[_TEXT] = torch.cat([pieces[_TEXT], pieces.pop(_INITIAL)[None]])
    return _TABLE.rename(pieces, OURS, KYUTAI)


def kyutai_modules(layer: str, num_sets: int) -> list[str]:
    """The reference's modules that are one layer of ours, as it has them in memory.

    Args:
        layer: path of a product, such as ``depth.layers.0.mlp_in``.
        num_sets: of its weights; 1 for one that is not of the depth transformer.
    """
    name = f"{layer}.weight"
    pieces = [f"{name}.{index}" for index in range(num_sets)] if _STEPS.fullmatch(name) else [name]
    modules = [re.sub("[._]weight$", "", name) for name in _TABLE.rename_names(pieces, OURS, KYUTAI)]
    if ".self_attn." in modules[0]:
        return [f"{modules[0]}s.{index}" for index in range(num_sets)]
    return modules


def _pieces(name: str, tensor: Tensor, spec: Spec) -> Tensors:
    """What one of our tensors is in Kyutai's layout, in order, as ``name.0``, ``name.1``, … or still as ``name``."""
    if _SCALE.fullmatch(name):
        return {name: tensor.view(1, 1, -1)}
    if _PACKED.fullmatch(name):
        return {name: tensor.flatten(0, 1)}
    if match := _ROWS.fullmatch(name):
        tensor = tensor.unflatten(0, (_num_rows(spec["init_args"])[match[1]], -1))
    elif not _STEPS.fullmatch(name):
        return {name: tensor}
    return {f"{name}.{index}": piece for index, piece in enumerate(tensor)}


def _num_rows(args: Spec) -> dict[str, int]:
    num_rows = args["num_own_codebooks"] + args["num_user_codebooks"]
    num_generated = num_rows if args["user_heads"] else args["num_own_codebooks"]
    return {"audio_embedding": num_rows, "depth.embedding": num_generated - 1}


def _packed(tensors: Mapping[str, Tensor]) -> Tensors:
    packed, steps = {}, defaultdict(dict)
    for name, tensor in tensors.items():
        if match := _UNPACKED.fullmatch(name):
            whole = f"{match[1]}in_proj_weight" if match[2] == "in" else f"{match[1]}out_proj.weight"
            steps[whole][int(match[3])] = tensor
        else:
            packed[name] = tensor
    return packed | {name: torch.cat([parts[index] for index in sorted(parts)]) for name, parts in steps.items()}
