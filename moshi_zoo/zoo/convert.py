"""Weights from and to other projects' layouts: ``import_weights`` and ``export_weights``, by component.

Kyutai's layout is one safetensors file. A Moshi may have its sizes in a config.json beside it; else importing it needs
the preset it belongs to. An adapter of a Moshi needs the model. Hugging Face's is a folder with ``config.json``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast, get_args

from moshi_zoo import registry
from moshi_zoo.registry import Spec
from moshi_zoo.tokenizer import FILE as TOKENIZER
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.zoo import (
    exports,
    helium_format,
    hf_folder,
    lora_format,
    mimi_config,
    mimi_format,
    moshi_config,
    moshi_format,
    moshi_hf_config,
    moshi_hf_format,
    moshi_int8,
)
from moshi_zoo.zoo.deferred import computed
from moshi_zoo.zoo.folder import CARD
from moshi_zoo.zoo.names import Tensors
from moshi_zoo.zoo.tensor_file import open_tensors, refuse_pickle

Format = Literal["kyutai", "hf"]
ExportFormat = Literal["kyutai", "kyutai-packed", "hf", "hf-llama"]


def open_weights(
    source: str | Path, layout: Format, *, preset: str = "mimi-full", base: Spec | None = None
) -> tuple[Spec, Tensors]:
    """Read upstream weights, one tensor at a time: the tensors are deferred (:mod:`moshi_zoo.zoo.deferred`).

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
    if source.is_file():
        refuse_pickle(source)
    if layout == "kyutai":
        return _from_kyutai(_kyutai_file(source, preset), preset, base)
    config = hf_folder.read_config(source.parent if source.is_file() else source)
    with _naming(source):
        return _from_hf(config, hf_folder.open_weights(source))


def import_weights(
    source: str | Path, layout: Format, *, preset: str = "mimi-full", base: Spec | None = None
) -> tuple[Spec, Tensors]:
    """As :func:`open_weights`, with all tensors in memory."""
    spec, tensors = open_weights(source, layout, preset=preset, base=base)
    return spec, computed(tensors)


def tokenizer_beside(source: str | Path) -> Tokenizer | None:
    """The tokenizer whose file lies beside weights, under our name or one of Kyutai's, if one does."""
    source = Path(source)
    folder = source.parent if source.is_file() else source
    found = [folder / TOKENIZER] if (folder / TOKENIZER).is_file() else sorted(folder.glob("tokenizer*.model"))
    return Tokenizer.load(found[0]) if len(found) == 1 else None


def export_weights(
    spec: Spec,
    tensors: Tensors,
    layout: ExportFormat,
    out: str | Path,
    *,
    tokenizer: Tokenizer | None = None,
    codec: exports.Codec | None = None,
    card: str | None = None,
) -> list[Path]:
    """Write a model for other projects.

    Args:
        spec: its portable spec.
        tensors: its plain tensors in our names; deferred ones are computed one after the other.
        layout: ``kyutai`` writes a safetensors file (in ``out`` if that is a folder) whose metadata say the sizes, or
            for a Moshi or its adapter config.json beside it; ``kyutai-packed`` an adapter as older versions have it;
            ``hf`` a folder with config.json, ready for ``from_pretrained``; ``hf-llama`` the same for a text model that
            programs shall take for a Llama, which more of them know than Helium.
        out: the path to write.
        tokenizer: of a text model, to write into the folder.
        codec: of a Moshi: Hugging Face's layout holds it, too.
        card: text of a README.md to write into the folder.

    Returns:
        The files written.

    Raises:
        ValueError: if the layout cannot hold this model.
    """
    _check_layout(layout, get_args(ExportFormat))
    known = {
        "mimi": ("kyutai", "hf"),
        "helium": ("hf", "hf-llama"),
        "moshi": ("kyutai", "hf"),
        "lora": ("kyutai", "kyutai-packed"),
    }
    component, out = spec["component"], Path(out)
    if layout not in known.get(component, ()):
        formats = "; ".join(f"a {name} as {' or '.join(layouts)}" for name, layouts in known.items())
        raise ValueError(f"a {component} cannot be exported as {layout}. What can: {formats}")
    if (out / "config.yaml").exists():
        raise ValueError(f"{out} is a zoo folder, whose weights this would replace: name another one")
    spec = registry.to_portable(registry.complete(registry.from_portable(spec)))
    if component == "helium":
        written = exports.helium_to_hf(spec, tensors, "llama" if layout == "hf-llama" else "helium", out, tokenizer)
    elif component == "lora":
        _check_is_moshi(spec["init_args"]["base"])
        written = exports.lora_to_kyutai(spec, tensors, "packed" if layout == "kyutai-packed" else "steps", out)
    elif component == "moshi" and layout == "hf":
        written = exports.moshi_to_hf(spec, tensors, out, tokenizer, codec)
    elif component == "moshi":
        written = exports.moshi_to_kyutai(spec, tensors, out, tokenizer)
    else:
        write = exports.mimi_to_hf if layout == "hf" else exports.mimi_to_kyutai
        written = write(spec, tensors, out)
    if card:
        written.append(out / CARD)
        (out / CARD).write_text(card)
    return written


def _from_hf(config: dict[str, Any], tensors: Tensors) -> tuple[Spec, Tensors]:
    family = config.get("model_type")
    if family == "mimi":
        spec = mimi_config.spec_from_hf(config)
        return spec, mimi_format.from_hf(tensors, spec)
    if family in get_args(helium_format.Family):
        spec = helium_format.spec_from_hf(config)
        return spec, helium_format.from_hf(tensors, spec, cast("helium_format.Family", family))
    if family == "moshi" and moshi_hf_config.is_hf(config):
        spec = moshi_hf_config.spec_from_hf(config)
        return spec, moshi_hf_format.from_hf(tensors, spec)
    if family == "moshi":
        raise ValueError("config.json is Kyutai's, not transformers': --format kyutai")
    raise ValueError(f"config.json is of a {family!r} model; mimi, helium and llama, and moshi can be imported")


def _from_kyutai(file: Path, preset: str, base: Spec | None) -> tuple[Spec, Tensors]:
    tensors = open_tensors(file)
    with _naming(file):
        if lora_format.is_lora(tensors):
            return _from_kyutais_lora(file, tensors, base)
        if base is not None:
            raise ValueError("this is no adapter: it does not need the model that it adapts (base)")
        if moshi_format.is_moshi(tensors):
            return _from_kyutais_moshi(file, tensors, preset)
        if not preset.startswith("mimi-"):
            raise ValueError(f"this is no moshi, but {preset} is one: name the file, or another preset")
        spec = registry.to_portable(registry.preset(preset))
        return spec, mimi_format.from_kyutai(tensors, spec, promise=preset)


def _from_kyutais_moshi(file: Path, tensors: Tensors, preset: str) -> tuple[Spec, Tensors]:
    spec = registry.to_portable(registry.preset(preset if preset.startswith("moshi-") else "moshi-7b"))
    config = hf_folder.read_config(file.parent) if (file.parent / hf_folder.CONFIG).is_file() else None
    if moshi_int8.is_int8(tensors):
        tensors = moshi_int8.dequantized(tensors)
        config = {**config, "quantize": False} if config else None
    if config:
        spec = moshi_config.spec_from_kyutai(config)
    return spec, moshi_format.from_kyutai(tensors, spec)


def _from_kyutais_lora(file: Path, tensors: Tensors, base: Spec | None) -> tuple[Spec, Tensors]:
    if base is None:
        raise ValueError("this is an adapter: say which model it adapts (--base NAME)")
    _check_is_moshi(base)
    has_config = (file.parent / hf_folder.CONFIG).is_file()
    spec = lora_format.spec_from_kyutai(tensors, base, hf_folder.read_config(file.parent) if has_config else None)
    return spec, lora_format.from_kyutai(tensors, spec)


@contextmanager
def _naming(source: Path) -> Iterator[None]:
    """What is wrong with a file is said with its name."""
    try:
        yield
    except ValueError as error:
        raise error if str(source) in str(error) else ValueError(f"{source}: {error}") from error


def _check_is_moshi(base: Spec) -> None:
    if base["component"] != "moshi":
        raise ValueError(f"Kyutai's layout has adapters of a moshi, not of a {base['component']}")


def _check_layout(layout: str, known: tuple[str, ...]) -> None:
    if layout not in known:
        raise ValueError(registry.unknown("format", layout, known))


def _kyutai_file(source: Path, preset: str) -> Path:
    if source.is_file():
        return source
    files = sorted(source.glob("*.safetensors"))
    codecs = [file for file in files if file.name.startswith(("tokenizer-", "mimi-"))]
    found = [file for file in files if (file in codecs) == preset.startswith("mimi-")] if codecs else files
    if len(found) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise FileNotFoundError(f"{source} holds {len(files)} safetensors files ({names}): name the one to import")
    return found[0]
