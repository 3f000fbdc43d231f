"""Writes models in other projects' layouts, one function for each kind (``convert.export_weights`` chooses).

Each takes a complete portable spec and tensors in our names, which may be deferred, refuses what the layout cannot hold
before it writes anything, and returns the files.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moshi_zoo import registry
from moshi_zoo.registry import Spec
from moshi_zoo.tokenizer import FILE as TOKENIZER
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.zoo import (
    helium_format,
    hf_folder,
    lora_format,
    mimi_config,
    mimi_format,
    moshi_config,
    moshi_format,
    moshi_hf_config,
    moshi_hf_format,
)
from moshi_zoo.zoo.names import Tensors
from moshi_zoo.zoo.tensor_file import write_tensors


@dataclass(frozen=True)
class Codec:
    """The codec of a Moshi, for the layout that holds both.

    Args:
        spec: portable.
        tensors: in our names.
    """

    spec: Spec
    tensors: Tensors


def mimi_to_kyutai(spec: Spec, tensors: Tensors, out: Path) -> list[Path]:
    """A codec as PyPI ``moshi`` reads it; the metadata of the file say the sizes."""
    config = mimi_config.kyutai_config(spec)
    file = out if out.suffix == ".safetensors" else out / "mimi.safetensors"
    return [_write(mimi_format.to_kyutai(tensors), file, {"mimi_config": json.dumps(config)})]


def lora_to_kyutai(spec: Spec, tensors: Tensors, attention: lora_format.Attention, out: Path) -> list[Path]:
    """An adapter as PyPI ``moshi`` reads it."""
    file = out if out.suffix == ".safetensors" else out / "lora.safetensors"
    config = {**lora_format.kyutai_config(spec), "lora_name": file.name}
    written = _write(lora_format.to_kyutai(tensors, spec, attention=attention), file, {"format": "pt"})
    return [written, _write_json(config, file.parent / hf_folder.CONFIG)]


def moshi_to_kyutai(spec: Spec, tensors: Tensors, out: Path, tokenizer: Tokenizer | None) -> list[Path]:
    """A Moshi as PyPI ``moshi`` reads it."""
    file = out if out.suffix == ".safetensors" else out / hf_folder.WEIGHTS
    config = {**moshi_config.kyutai_config(spec), "moshi_name": file.name}
    if tokenizer:
        config["tokenizer_name"] = TOKENIZER
    return [
        _write(moshi_format.to_kyutai(tensors, spec), file, {"format": "pt"}),
        *_write_tokenizer(tokenizer, file.parent),
        _write_json(config, file.parent / hf_folder.CONFIG),
    ]


def helium_to_hf(
    spec: Spec, tensors: Tensors, family: helium_format.Family, out: Path, tokenizer: Tokenizer | None
) -> list[Path]:
    """A text model as transformers' Helium, or as its Llama."""
    dtype = str(tensors["output.weight"].dtype).removeprefix("torch.")
    config = {**helium_format.hf_config(spec, family, tokenizer), "dtype": dtype}
    return [
        _write(helium_format.to_hf(tensors, spec, family), out / hf_folder.WEIGHTS, {"format": "pt"}),
        _write_json(config, out / hf_folder.CONFIG),
        *_write_tokenizer(tokenizer, out),
    ]


def mimi_to_hf(spec: Spec, tensors: Tensors, out: Path) -> list[Path]:
    """A codec as transformers' ``MimiModel``."""
    config = mimi_config.hf_config(spec)
    return [
        _write(mimi_format.to_hf(tensors, _num_heads(spec)), out / hf_folder.WEIGHTS, {"format": "pt"}),
        _write_json(config, out / hf_folder.CONFIG),
        _write_json(_feature_extractor(config), out / "preprocessor_config.json"),
    ]


def moshi_to_hf(
    spec: Spec, tensors: Tensors, out: Path, tokenizer: Tokenizer | None, codec: Codec | None
) -> list[Path]:
    """A Moshi and its codec as transformers' ``MoshiForConditionalGeneration``."""
    if codec is None:
        raise ValueError("Hugging Face's layout of a moshi holds its codec, too: name it (--codec NAME)")
    codec_spec = registry.to_portable(registry.complete(registry.from_portable(codec.spec)))
    if codec_spec["component"] != "mimi":
        raise ValueError(f"the codec of a moshi is a mimi, not a {codec_spec['component']}")
    codec_config = mimi_config.hf_config(codec_spec)
    dtype = str(tensors["initial_text"].dtype).removeprefix("torch.")
    config = {**moshi_hf_config.hf_config(spec, codec_config), "dtype": dtype}
    both = moshi_hf_format.to_hf(tensors, spec) | {
        moshi_hf_format.CODEC + name: tensor
        for name, tensor in mimi_format.to_hf(codec.tensors, _num_heads(codec_spec)).items()
    }
    written = [
        _write(both, out / hf_folder.WEIGHTS, {"format": "pt"}),
        _write_json(config, out / hf_folder.CONFIG),
        _write_json(_feature_extractor(codec_config), out / "preprocessor_config.json"),
    ]
    return written + _write_tokenizer(tokenizer, out)


def _num_heads(mimi: Spec) -> int:
    return mimi["init_args"]["encoder_transformer"]["num_heads"]


def _feature_extractor(mimi: dict[str, Any]) -> dict[str, Any]:
    features = {"feature_extractor_type": "EncodecFeatureExtractor", "feature_size": 1, "padding_side": "right"}
    return features | {"padding_value": 0.0, "return_attention_mask": True, "sampling_rate": mimi["sampling_rate"]}


def _write(tensors: Tensors, file: Path, metadata: dict[str, str]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(tensors, file, metadata)
    return file


def _write_tokenizer(tokenizer: Tokenizer | None, folder: Path) -> list[Path]:
    if tokenizer is None:
        return []
    tokenizer.save(folder / TOKENIZER)
    return [folder / TOKENIZER]


def _write_json(value: dict[str, Any], file: Path) -> Path:
    file.write_text(json.dumps(value, indent=2) + "\n")
    return file
