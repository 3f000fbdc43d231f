"""The verb ``info``: what is known of one model."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moshi_zoo.zoo.catalogue import CatalogueEntry


def info(name: str, *, verify: bool = False) -> None:
    """Show what a model is, where it comes from, and under which licence it may be used.

    Args:
        name: name, run or folder of a model; or a name of the catalogue.
        verify: compare its files with their sha256.
    """
    from moshi_zoo.zoo import catalogue, uri

    entry = catalogue.catalogue().get(name)
    try:
        path = uri.resolve(name)
    except ValueError:
        if entry is None:
            raise
        _print_entry(entry)
        return
    home = catalogue.shipped_folder(name) or uri.CHECKPOINTS / name
    _print_folder(path, verify, entry if path.resolve() == home.resolve() else None)  # else it is a run of that name


def _print_entry(entry: "CatalogueEntry") -> None:
    files = ", ".join(file.name for file in entry.files)
    hint = "not in this installation" if entry.ships else f"not here: `python -m moshi_zoo download {entry.name}`"
    _print_facts(
        {
            "model": f"{entry.name} ({hint})",
            "about": entry.about,
            "is a": f"{entry.component} ({entry.preset})" if entry.preset else entry.component,
            "licence": entry.licence,
            "from": f"hf://{entry.repository} at {entry.revision}" if entry.repository else "the repository",
            "files": f"{files} ({entry.format} layout, {entry.size / 1e9:.1f} GB)",
            "codec": entry.codec,
        }
    )


def _print_folder(path: Path, verify: bool, entry: "CatalogueEntry | None") -> None:
    import yaml

    from moshi_zoo.zoo import folder
    from moshi_zoo.zoo.config import read_config

    config = read_config(path)
    if verify:
        folder.verify(path)
    sizes = f", the sizes of {entry.preset}" if entry and entry.preset else ""
    _print_facts(
        {
            "model": str(path),
            "about": entry.about if entry else "",
            "is a": f"{config.component}, {folder.num_parameters(config.spec):,} parameters{sizes}",
            "made by": f"{config.stage or 'unknown'} (moshi_zoo {config.version})",
            "started from": ", ".join(f"{parent.name} ({parent.sha256[:12]})" for parent in config.parents),
            "text layout": str(config.text_layout) if config.text_layout.of else "",
            "sampling": str(config.sampling or ""),
            "licence": config.licence,
            "sha256": config.sha256 + (" (verified)" if verify else ""),
            "files": ", ".join(sorted(f"{f.name} ({f.stat().st_size / 1e6:.1f} MB)" for f in path.iterdir())),
        }
    )
    print(yaml.safe_dump({"init_args": config.init_args}, sort_keys=False), end="")


def _print_facts(facts: dict[str, str]) -> None:
    for key, value in facts.items():
        if value:
            print(f"{key:<13}{value}")
