"""Weights from and to other projects' layouts: ``import_weights`` and ``export_weights``, by component.

Kyutai's layout is one safetensors file without a configuration, so importing it needs the preset it belongs to; Hugging
Face's is a folder with ``config.json``.
"""

import json
from pathlib import Path
from typing import Any, Literal, get_args

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from moshi_zoo import registry
from moshi_zoo.registry import Spec
from moshi_zoo.zoo import mimi_format
from moshi_zoo.zoo.names import Tensors

Format = Literal["kyutai", "hf"]


def import_weights(source: str | Path, layout: Format, *, preset: str = "mimi-full") -> tuple[Spec, Tensors]:
    """Read upstream weights.

    Args:
        source: a safetensors file, or a folder that holds one.
        layout: ``kyutai`` or ``hf``.
        preset: whose sizes Kyutai's file has; it does not say. Hugging Face's config.json does.

    Returns:
        The model's portable spec, and its tensors in our names.

    Raises:
        FileNotFoundError: if there is no such file or folder, or nothing to read in it.
        ValueError: if the file is of another kind.
    """
    _check_layout(layout)
    path = _weights_file(Path(source), layout)
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is no readable safetensors file ({error})") from error
    if layout == "kyutai":
        return registry.to_portable(registry.preset(preset)), mimi_format.from_kyutai(tensors)
    config_file = path.parent / "config.json"
    if not config_file.is_file():
        raise FileNotFoundError(f"{config_file} is missing: Hugging Face's layout needs it beside the weights")
    spec = mimi_format.spec_from_hf(json.loads(config_file.read_text()))
    return spec, mimi_format.from_hf(tensors, spec["init_args"]["encoder_transformer"]["num_heads"])


def export_weights(spec: Spec, tensors: Tensors, layout: Format, out: str | Path) -> list[Path]:
    """Write a model for other projects.

    Args:
        spec: its portable spec.
        tensors: its plain tensors in our names.
        layout: ``kyutai`` writes a safetensors file (in ``out`` if that is a folder) whose metadata say the sizes;
            ``hf`` a folder with config.json, ready for ``MimiModel.from_pretrained``.
        out: the path to write.

    Returns:
        The files written.

    Raises:
        ValueError: if the layout cannot hold this model.
    """
    _check_layout(layout)
    if spec["component"] != "mimi":
        raise ValueError(f"a {spec['component']} cannot be exported yet; mimi can")
    spec = registry.to_portable(registry.complete(registry.from_portable(spec)))
    out = Path(out)
    if layout == "kyutai":
        config = mimi_format.kyutai_config(spec)
        file = out if out.suffix == ".safetensors" else out / "mimi.safetensors"
        _write(mimi_format.to_kyutai(tensors), file, {"mimi_config": json.dumps(config)})
        return [file]
    config = mimi_format.hf_config(spec)
    num_heads = spec["init_args"]["encoder_transformer"]["num_heads"]
    _write(mimi_format.to_hf(tensors, num_heads), out / "model.safetensors", {"format": "pt"})
    features = {"feature_extractor_type": "EncodecFeatureExtractor", "feature_size": 1, "padding_side": "right"}
    features |= {"padding_value": 0.0, "return_attention_mask": True, "sampling_rate": config["sampling_rate"]}
    return [
        out / "model.safetensors",
        _write_json(config, out / "config.json"),
        _write_json(features, out / "preprocessor_config.json"),
    ]


def _check_layout(layout: str) -> None:
    if layout not in get_args(Format):
        raise ValueError(registry.unknown("format", layout, get_args(Format)))


def _weights_file(source: Path, layout: Format) -> Path:
    if source.is_file():
        return source
    if not source.is_dir():
        raise FileNotFoundError(f"{source} does not exist: give a safetensors file, or a folder that holds one")
    pattern = "tokenizer-*.safetensors" if layout == "kyutai" else "model.safetensors"
    found = sorted(source.glob(pattern)) or sorted(source.glob("*.safetensors"))
    if len(found) != 1:
        names = ", ".join(f.name for f in found) or "none"
        raise FileNotFoundError(f"{source} holds {len(found)} safetensors files ({names}): name the one to import")
    return found[0]


def _write(tensors: Tensors, file: Path, metadata: dict[str, str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file, metadata)


def _write_json(value: dict[str, Any], file: Path) -> Path:
    file.write_text(json.dumps(value, indent=2) + "\n")
    return file
