"""Mimi's tensors in the layouts of Kyutai and of Hugging Face: names and shapes, bit for bit both ways.

Beyond names three things differ. Kyutai and Hugging Face keep the quantizer's projections as convolutions of width 1;
Hugging Face splits the fused attention product, and rotates half vectors instead of neighbouring pairs, so the rows of
its queries and keys come in another order.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from moshi_zoo.registry import Spec
from moshi_zoo.zoo.fit import check_fit
from moshi_zoo.zoo.names import NameTable, Tensors
from moshi_zoo.zoo.outline import outline
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


def from_kyutai(tensors: Mapping[str, Tensor], spec: Spec | None = None, *, promise: str = "the model") -> Tensors:
    """Kyutai's names (old spellings too) -> ours.

    Args:
        tensors: of the file.
        spec: of the codec, portable: to compare them with. None: they are taken as they are.
        promise: what to call the spec.

    Raises:
        ValueError: naming the tensors that are missing, unknown, or of another shape.
    """
    current = {_current(name): tensor for name, tensor in tensors.items() if not _TRAINING_ONLY.fullmatch(name)}
    if spec is not None:
        own = to_kyutai(outline(spec).tensors)
        check_fit(current, {_current(name): like for name, like in own.items()}, promise=promise)
    return _flat_projections(_TABLE.rename(current, KYUTAI, OURS))


def to_kyutai(tensors: Mapping[str, Tensor]) -> Tensors:
    """Our names -> those of the released file."""
    renamed = _TABLE.rename(_conv_projections(tensors), OURS, KYUTAI)
    outer = {0, max(int(m[1]) for name in renamed if (m := re.match(r"decoder\.model\.(\d+)\.", name)))}

    def transposed(match: re.Match[str]) -> str:  # all but the decoder's outermost convolutions are transposed ones
        return match[0] if int(match[1]) in outer else f"decoder.model.{match[1]}.convtr.convtr."

    return {re.sub(r"^decoder\.model\.(\d+)\.conv\.conv\.", transposed, name): t for name, t in renamed.items()}


def from_hf(tensors: Mapping[str, Tensor], spec: Spec) -> Tensors:
    """Hugging Face's names (the flat file's, or those of the model in memory) -> ours.

    Args:
        tensors: of the file.
        spec: of the codec, portable.

    Raises:
        ValueError: naming the tensors that are missing, unknown, or of another shape than the configuration says.
    """
    flat = {hf_file_name(name): tensor for name, tensor in tensors.items()}
    num_heads = spec["init_args"]["encoder_transformer"]["num_heads"]
    check_fit(flat, to_hf(outline(spec).tensors, num_heads))
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


def _current(name: str) -> str:
    """Today's spelling of a name of Kyutai's."""
    for old, new in _LEGACY[: -1 if name.startswith("upsample.") else None]:
        name = re.sub(old, new, name)
    return name


def _flat_projections(tensors: Tensors) -> Tensors:
    return {name: t.squeeze(-1) if _PROJECTION.fullmatch(name) else t for name, t in tensors.items()}


def _conv_projections(tensors: Mapping[str, Tensor]) -> Tensors:
    return {name: t.unsqueeze(-1) if _PROJECTION.fullmatch(name) else t for name, t in tensors.items()}


def _flatten_name(match: re.Match[str]) -> str:
    side, transformer, resample = match.groups()
    return f"{transformer or resample or side}."
