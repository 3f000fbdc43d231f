"""Weights from and to other projects' layouts: ``import_weights`` and ``export_weights``, by component.

Kyutai's layout is one safetensors file. A Moshi may have its sizes in a config.json beside it; else importing it needs
the preset it belongs to. An adapter of a Moshi needs the model. Hugging Face's is a folder with ``config.json``.
"""

import json
from pathlib import Path
from typing import Any, Literal, get_args

from safetensors.torch import save_file

from moshi_zoo import registry
from moshi_zoo.registry import Spec
from moshi_zoo.tokenizer import FILE as TOKENIZER
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.zoo import helium_format, hf_folder, lora_format, mimi_format, moshi_config, moshi_format
from moshi_zoo.zoo.names import Tensors

Format = Literal["kyutai", "hf"]
ExportFormat = Literal["kyutai", "kyutai-packed", "hf", "hf-llama"]


def import_weights(
    source: str | Path, layout: Format, *, preset: str = "mimi-full", base: Spec | None = None
) -> tuple[Spec, Tensors]:
    """Read upstream weights.

    Args:
        source: a safetensors file, or a folder that holds one (or, in Hugging Face's layout, several and their index).
        layout: ``kyutai`` or ``hf``.
        preset: whose sizes Kyutai's file has, where no config.json beside it says them: Mimi's never does.
        base: portable spec of the Moshi that the file adapts, if that is an adapter.

    Returns:
        The model's portable spec, and its tensors in our names.

    Raises:
        FileNotFoundError: if there is no such file or folder, or nothing to read in it.
        ValueError: if the file is of another kind.
    """
    _check_layout(layout, get_args(Format))
    source = Path(source)
    if not source.exists():
        raise FileNotFoundError(f"{source} does not exist: give a safetensors file, or a folder that holds one")
    if layout == "kyutai":
        file = _kyutai_file(source)
        tensors = hf_folder.read_tensors(file)
        if lora_format.is_lora(tensors):
            return _from_kyutais_lora(file, tensors, base)
        if base is not None:
            raise ValueError(f"{file} is no adapter: it does not need the model that it adapts (base)")
        if moshi_format.is_moshi(tensors):
            return _from_kyutais_moshi(file, tensors, preset)
        return registry.to_portable(registry.preset(preset)), mimi_format.from_kyutai(tensors)
    config = hf_folder.read_config(source.parent if source.is_file() else source)
    try:
        return _from_hf(config, hf_folder.read_tensors(source))
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def tokenizer_beside(source: str | Path) -> Tokenizer | None:
    """The tokenizer whose file lies beside weights, if one does."""
    source = Path(source)
    file = (source.parent if source.is_file() else source) / TOKENIZER
    return Tokenizer.load(file) if file.is_file() else None


def export_weights(
    spec: Spec, tensors: Tensors, layout: ExportFormat, out: str | Path, *, tokenizer: Tokenizer | None = None
) -> list[Path]:
    """Write a model for other projects.

    Args:
        spec: its portable spec.
        tensors: its plain tensors in our names.
        layout: ``kyutai`` writes a safetensors file (in ``out`` if that is a folder) whose metadata say the sizes, or
            for a Moshi or its adapter config.json beside it; ``kyutai-packed`` an adapter as older versions have it;
            ``hf`` a folder with config.json, ready for ``from_pretrained``; ``hf-llama`` the same for a text model that
            programs shall take for a Llama, which more of them know than Helium.
        out: the path to write.
        tokenizer: of a text model, to write into the folder.

    Returns:
        The files written.

    Raises:
        ValueError: if the layout cannot hold this model.
    """
    _check_layout(layout, get_args(ExportFormat))
    known = {
        "mimi": ("kyutai", "hf"),
        "helium": ("hf", "hf-llama"),
        "moshi": ("kyutai",),
        "lora": ("kyutai", "kyutai-packed"),
    }
    component, out = spec["component"], Path(out)
    if layout not in known.get(component, ()):
        formats = "; ".join(f"a {name} as {' or '.join(layouts)}" for name, layouts in known.items())
        raise ValueError(f"a {component} cannot be exported as {layout}. What can: {formats}")
    spec = registry.to_portable(registry.complete(registry.from_portable(spec)))
    if component == "helium":
        written = _export_helium(spec, tensors, "llama" if layout == "hf-llama" else "helium", out, tokenizer)
    elif component == "moshi":
        written = _export_moshi(spec, tensors, out, tokenizer)
    elif component == "lora":
        written = _export_lora(spec, tensors, "packed" if layout == "kyutai-packed" else "steps", out)
    elif layout == "kyutai":
        config = mimi_format.kyutai_config(spec)
        file = out if out.suffix == ".safetensors" else out / "mimi.safetensors"
        written = [_write(mimi_format.to_kyutai(tensors), file, {"mimi_config": json.dumps(config)})]
    else:
        written = _export_mimi_to_hf(spec, tensors, out)
    return written


def _from_hf(config: dict[str, Any], tensors: Tensors) -> tuple[Spec, Tensors]:
    if config.get("model_type") == "mimi":
        spec = mimi_format.spec_from_hf(config)
        return spec, mimi_format.from_hf(tensors, spec["init_args"]["encoder_transformer"]["num_heads"])
    if config.get("model_type") in get_args(helium_format.Family):
        spec = helium_format.spec_from_hf(config)
        return spec, helium_format.from_hf(tensors, spec, config["model_type"])
    raise ValueError(f"config.json is of a {config.get('model_type')!r} model; mimi, helium and llama can be imported")


def _from_kyutais_moshi(file: Path, tensors: Tensors, preset: str) -> tuple[Spec, Tensors]:
    spec = registry.to_portable(registry.preset(preset if preset.startswith("moshi-") else "moshi-7b"))
    try:
        if (file.parent / hf_folder.CONFIG).is_file():
            spec = moshi_config.spec_from_kyutai(hf_folder.read_config(file.parent))
        return spec, moshi_format.from_kyutai(tensors, spec)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _from_kyutais_lora(file: Path, tensors: Tensors, base: Spec | None) -> tuple[Spec, Tensors]:
    if base is None:
        raise ValueError(f"{file} is an adapter: say which model it adapts (--base NAME)")
    _check_is_moshi(base)
    try:
        has_config = (file.parent / hf_folder.CONFIG).is_file()
        spec = lora_format.spec_from_kyutai(tensors, base, hf_folder.read_config(file.parent) if has_config else None)
        return spec, lora_format.from_kyutai(tensors, spec)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _export_lora(spec: Spec, tensors: Tensors, attention: lora_format.Attention, out: Path) -> list[Path]:
    _check_is_moshi(spec["init_args"]["base"])
    file = out if out.suffix == ".safetensors" else out / "lora.safetensors"
    config = {**lora_format.kyutai_config(spec), "lora_name": file.name}
    written = _write(lora_format.to_kyutai(tensors, spec, attention=attention), file, {"format": "pt"})
    return [written, _write_json(config, file.parent / hf_folder.CONFIG)]


def _check_is_moshi(base: Spec) -> None:
    if base["component"] != "moshi":
        raise ValueError(f"Kyutai's layout has adapters of a moshi, not of a {base['component']}")


def _export_moshi(spec: Spec, tensors: Tensors, out: Path, tokenizer: Tokenizer | None) -> list[Path]:
    file = out if out.suffix == ".safetensors" else out / hf_folder.WEIGHTS
    config = {**moshi_config.kyutai_config(spec), "moshi_name": file.name}
    written = [_write(moshi_format.to_kyutai(tensors, spec), file, {"format": "pt"})]
    if tokenizer:
        config["tokenizer_name"] = TOKENIZER
        tokenizer.save(file.parent / TOKENIZER)
        written.append(file.parent / TOKENIZER)
    return [*written, _write_json(config, file.parent / hf_folder.CONFIG)]


def _export_helium(
    spec: Spec, tensors: Tensors, family: helium_format.Family, out: Path, tokenizer: Tokenizer | None
) -> list[Path]:
    dtype = str(tensors["output.weight"].dtype).removeprefix("torch.")
    config = {**helium_format.hf_config(spec, family, tokenizer), "dtype": dtype}
    written = [
        _write(helium_format.to_hf(tensors, spec, family), out / hf_folder.WEIGHTS, {"format": "pt"}),
        _write_json(config, out / hf_folder.CONFIG),
    ]
    if tokenizer:
        tokenizer.save(out / TOKENIZER)
        written.append(out / TOKENIZER)
    return written


def _export_mimi_to_hf(spec: Spec, tensors: Tensors, out: Path) -> list[Path]:
    config = mimi_format.hf_config(spec)
    num_heads = spec["init_args"]["encoder_transformer"]["num_heads"]
    features = {"feature_extractor_type": "EncodecFeatureExtractor", "feature_size": 1, "padding_side": "right"}
    features |= {"padding_value": 0.0, "return_attention_mask": True, "sampling_rate": config["sampling_rate"]}
    return [
        _write(mimi_format.to_hf(tensors, num_heads), out / hf_folder.WEIGHTS, {"format": "pt"}),
        _write_json(config, out / hf_folder.CONFIG),
        _write_json(features, out / "preprocessor_config.json"),
    ]


def _check_layout(layout: str, known: tuple[str, ...]) -> None:
    if layout not in known:
        raise ValueError(registry.unknown("format", layout, known))


def _kyutai_file(source: Path) -> Path:
    if source.is_file():
        return source
    found = sorted(source.glob("tokenizer-*.safetensors")) or sorted(source.glob("*.safetensors"))
    if len(found) != 1:
        names = ", ".join(f.name for f in found) or "none"
        raise FileNotFoundError(f"{source} holds {len(found)} safetensors files ({names}): name the one to import")
    return found[0]


def _write(tensors: Tensors, file: Path, metadata: dict[str, str]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file, metadata)
    return file


def _write_json(value: dict[str, Any], file: Path) -> Path:
    file.write_text(json.dumps(value, indent=2) + "\n")
    return file
