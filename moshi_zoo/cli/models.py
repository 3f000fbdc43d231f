"""The verbs ``import`` and ``export``: models from and to other projects' layouts."""

from pathlib import Path
from typing import Literal


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
    from moshi_zoo.cli.list_models import rounded
    from moshi_zoo.zoo import convert, folder, licences, uri
    from moshi_zoo.zoo.config import Parent, read_config

    licence = licences.checked(licence)
    adapted = read_config(uri.resolve(base)) if base else None
    spec, tensors = convert.open_weights(source, format, preset=preset, base=adapted.spec if adapted else None)
    parents = [Parent(base, adapted.sha256)] if base and adapted else []
    tokenizer = convert.tokenizer_beside(source)
    config = folder.save(
        out, spec, tensors, stage=f"import {format}", parents=parents, licence=licence, tokenizer=tokenizer
    )
    size = rounded(folder.num_parameters(config.spec))
    print(f"{out}: {config.component}, {size} parameters, sha256 {config.sha256[:12]}…")


def export(
    name_or_dir: str,
    *,
    format: Literal["kyutai", "kyutai-packed", "hf", "hf-llama"],
    out: Path,
    adapter: str | None = None,
    codec: str | None = None,
) -> None:
    """Write a model, or an adapter, in the layout of another project.

    Hugging Face's layouts are folders ready for upload, with a model card.

    Args:
        name_or_dir: name or folder of a model or an adapter.
        format: Kyutai's layout, or Hugging Face transformers'; hf-llama: there as a Llama, which more programs know;
            kyutai-packed: an adapter as older versions of Kyutai's package have it.
        out: the file or folder to write.
        adapter: name or folder of an adapter of the model, to be merged into its weights.
        codec: name or folder of a moshi's codec, which Hugging Face's layout of one holds; by default its parent.
    """
    from moshi_zoo.zoo import adapters, convert, folder, uri
    from moshi_zoo.zoo.card import exported_card
    from moshi_zoo.zoo.config import read_config
    from moshi_zoo.zoo.exports import Codec

    source = uri.resolve(name_or_dir)
    folder.check(source)
    config, tokenizer = read_config(source), convert.tokenizer_beside(source)
    tensors = adapters.open_merged_weights(source, uri.resolve(adapter)) if adapter else folder.open_weights(source)
    its_codec = card = None
    if format.startswith("hf"):
        card = exported_card(out.name, config, folder.num_parameters(config.spec))
        if config.component == "moshi" and (path := uri.resolve(codec) if codec else _codec_of(name_or_dir)):
            folder.check(path)
            its_codec = Codec(read_config(path).spec, folder.open_weights(path))
    for path in convert.export_weights(
        config.spec, tensors, format, out, tokenizer=tokenizer, codec=its_codec, card=card
    ):
        print(path)


def _codec_of(name: str) -> Path | None:
    """The folder of the codec among a model's parents."""
    from moshi_zoo.zoo.lineage import trace

    parents = trace(name).parents
    return next((p.folder for p in parents if p.folder and p.config and p.config.component == "mimi"), None)
