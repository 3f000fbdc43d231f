"""The verbs about models as files: ``list``, ``import`` and ``export``."""

from pathlib import Path
from typing import Literal


def list_models() -> None:
    """Show the models in checkpoints/ and runs/, and the presets that can be trained."""
    from rich.console import Console
    from rich.table import Table
    from torch import nn

    from moshi_zoo import registry
    from moshi_zoo.zoo import folder, uri

    console = Console()
    models = Table("model", "is a", "parameters", "made by", "licence", title="Models", title_justify="left")
    for entry in uri.entries():
        if entry.config is None:
            models.add_row(entry.name, f"[red]unusable: {entry.problem}")
        else:
            config = entry.config
            size = _rounded(folder.num_parameters(config.spec))
            models.add_row(entry.name, config.component, size, config.stage, config.licence)
    if models.row_count:
        console.print(models)
    else:
        console.print("No models here yet: train one (`fit`), or bring released weights (`import`).")
    presets = Table("preset", "parameters", title="Presets", title_justify="left")
    for name in registry.names(nn.Module):
        size = folder.num_parameters(registry.to_portable(registry.preset(name)))
        presets.add_row(name, _rounded(size))
    console.print(presets)


def import_(
    source: Path,
    *,
    format: Literal["kyutai", "hf"],
    out: Path,
    preset: str = "mimi-full",
    base: str | None = None,
    licence: str = "unspecified",
) -> None:
    """Turn released weights into a zoo folder.

    Args:
        source: a safetensors file, or a folder that holds one (or several, with their index). A tokenizer.model beside
            it comes along.
        format: whose layout the weights are in: Kyutai's, or Hugging Face transformers'.
        out: the zoo folder to write.
        preset: sizes of the model, where the weights do not come with their own.
        base: name or folder of the model that an adapter adapts.
        licence: under which the weights may be used, to be noted in the folder.
    """
    from moshi_zoo.zoo import convert, folder, uri
    from moshi_zoo.zoo.config import Parent, read_config

    adapted = read_config(uri.resolve(base)) if base else None
    spec, tensors = convert.import_weights(source, format, preset=preset, base=adapted.spec if adapted else None)
    parents = [Parent(base, adapted.sha256)] if base and adapted else []
    tokenizer = convert.tokenizer_beside(source)
    config = folder.save(
        out, spec, tensors, stage=f"import {format}", parents=parents, licence=licence, tokenizer=tokenizer
    )
    size = _rounded(folder.num_parameters(config.spec))
    print(f"{out}: {config.component}, {size} parameters, sha256 {config.sha256[:12]}…")


def export(
    name_or_dir: str,
    *,
    format: Literal["kyutai", "kyutai-packed", "hf", "hf-llama"],
    out: Path,
    adapter: str | None = None,
) -> None:
    """Write a model, or an adapter, in the layout of another project.

    Args:
        name_or_dir: name or folder of a model or an adapter.
        format: Kyutai's layout, or Hugging Face transformers'; hf-llama: there as a Llama, which more programs know;
            kyutai-packed: an adapter as older versions of Kyutai's package have it.
        out: the file or folder to write.
        adapter: name or folder of an adapter of the model, to be merged into its weights.
    """
    from moshi_zoo.zoo import adapters, convert, folder, uri
    from moshi_zoo.zoo.config import read_config

    source = uri.resolve(name_or_dir)
    spec, tokenizer = read_config(source).spec, convert.tokenizer_beside(source)
    tensors = adapters.merged_weights(source, uri.resolve(adapter)) if adapter else folder.read_weights(source)
    for path in convert.export_weights(spec, tensors, format, out, tokenizer=tokenizer):
        print(path)


def _rounded(count: int) -> str:
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            return f"{count / unit:.3g} {letter}"
    return str(count)
