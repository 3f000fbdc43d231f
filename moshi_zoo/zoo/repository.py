"""What a repository on the hub holds that is not in the catalogue."""

from dataclasses import replace

from moshi_zoo.tokenizer import FILE as TOKENIZER
from moshi_zoo.zoo import folder, hf_folder, hub, licences, moshi_hf_config
from moshi_zoo.zoo.catalogue import CatalogueEntry, CatalogueFile
from moshi_zoo.zoo.config import FILE as CONFIG


def guess(repository: str, revision: str) -> CatalogueEntry:
    """What a repository holds, by its files.

    Args:
        repository: ``owner/name``.
        revision: commit, branch or tag.

    Raises:
        ValueError: if there is none, or nothing in it that we can read.
    """
    listing = hub.look(repository, revision)
    entry = CatalogueEntry(
        name=repository,
        component="",
        licence=licences.from_card(listing.licence),
        format="zoo",
        repository=repository,
        revision=revision,
    )
    if CONFIG in listing.files and folder.WEIGHTS in listing.files:
        names = [CONFIG, folder.WEIGHTS, *[name for name in (TOKENIZER, folder.CARD) if name in listing.files]]
        return replace(entry, files=tuple(map(CatalogueFile, names)))
    weights = [name for name in listing.files if name.endswith(".safetensors") and "/" not in name]
    if not weights:
        raise ValueError(
            f"{repository} has no safetensors file (its files: {', '.join(sorted(listing.files)[:10]) or 'none'}); "
            "nothing else is read, for a pickle can run any code"
        )
    said = {}
    if hf_folder.CONFIG in listing.files:
        said = hf_folder.read_config(hub.fetch(listing, listing.files[hf_folder.CONFIG]).parent)
    family = str(said.get("model_type"))
    if family in ("mimi", "helium", "llama") or (family == "moshi" and moshi_hf_config.is_hf(said)):
        component = "helium" if family == "llama" else family
        files = (
            CatalogueFile(hf_folder.CONFIG),
            CatalogueFile("model*.safetensors*"),
            CatalogueFile("tokenizer*.model"),
        )
        return replace(entry, format="hf", component=component, files=files)
    models = [name for name in weights if not name.startswith(("tokenizer-", "mimi-"))]
    component, preset, names = ("moshi", "moshi-7b", models) if models else ("mimi", "mimi-full", weights)
    if len(names) != 1:
        raise ValueError(f"{repository} has several weights ({', '.join(names)}): download one, then `import` it")
    config = (CatalogueFile(hf_folder.CONFIG),) if models and said else ()
    files = (CatalogueFile(names[0]), *config, CatalogueFile("tokenizer*.model"))
    return replace(entry, format="kyutai", component=component, preset=preset, files=files)
