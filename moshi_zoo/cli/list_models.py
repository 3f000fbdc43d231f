"""The verb ``list``: models that are here, models that can be had, and presets."""

import functools
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from moshi_zoo.zoo.uri import Entry


@dataclass(frozen=True)
class Row:
    """A model in the list.

    Args:
        name: what to call it.
        component: what it is.
        parameters: how many; 0: not known.
        bytes: to download, or on disk.
        licence: of its weights.
        here: whether it is, and whether its sums were compared: "yes", "verified", "unusable", or "no".
        source: where it comes from.
        problem: why it is unusable.
    """

    name: str
    component: str
    parameters: int
    bytes: int
    licence: str
    here: str
    source: str
    problem: str = ""


def list_models(text: str | None = None, *, verify: bool = False, json: bool = False) -> None:
    """Show the models that are here, those of the catalogue that can be downloaded, and the presets to train.

    Args:
        text: show only what has it in its name, kind or licence, such as mimi or CC-BY.
        verify: compare the weights that are here with their sha256, which reads them all.
        json: print the models as JSON.
    """
    wanted = (text or "").lower()
    rows = _rows(wanted, verify=verify)
    if json:
        from json import dumps

        print(dumps([asdict(row) for row in rows], indent=2))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    columns = ("model", "is a", "parameters", "size", "licence", "here", "from")
    models = Table(*columns, title="Models", title_justify="left")
    for row in rows:
        size = f"{row.bytes / 1e9:.1f} GB" if row.bytes >= 1e8 else f"{row.bytes / 1e6:.1f} MB"
        parameters = rounded(row.parameters) if row.parameters else ""
        models.add_row(row.name, row.component, parameters, size, row.licence, row.here, escape(row.source))
    if rows:
        console.print(models)
        for row in rows:
            if row.problem:
                console.print(f"[red]{escape(row.name)} is unusable:[/] {escape(row.problem)}", soft_wrap=True)
    else:
        console.print(f"No model has {text!r} in its name, kind or licence." if text else "No models.")
    _print_presets(console, wanted)


def rounded(count: int) -> str:
    """A number with a unit."""
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            return f"{count / unit:.3g} {letter}"
    return str(count)


def _rows(wanted: str, *, verify: bool) -> list[Row]:
    from moshi_zoo.zoo import catalogue, uri

    here, rows = list(uri.entries()), []
    folders = {entry.folder.resolve() for entry in here}
    shipped = {entry.name: entry for entry in uri.shipped()}
    for entry in catalogue.catalogue().values():
        folder = shipped[entry.name].folder if entry.name in shipped else uri.CHECKPOINTS / entry.name
        if folder.resolve() in folders:
            continue
        if entry.name in shipped:
            here.append(shipped[entry.name])
        elif wanted in f"{entry.name} {entry.component} {entry.licence}".lower():
            source = f"hf://{entry.repository}" if entry.repository else "the repository"
            parameters = _parameters(entry.preset)
            rows.append(Row(entry.name, entry.component, parameters, entry.size, entry.licence, "no", source))
    known = [(entry, entry.config) for entry in here]
    chosen = [e for e, c in known if wanted in f"{e.name} {f'{c.component} {c.licence}' if c else ''}".lower()]
    return [_of_folder(entry, verify) for entry in chosen] + rows


def _of_folder(entry: "Entry", verify: bool) -> Row:
    from moshi_zoo.zoo import folder

    size = (entry.folder / folder.WEIGHTS).stat().st_size
    if entry.config is None:
        return Row(entry.name, "", 0, size, "", "unusable", "", entry.problem)
    config, here, problem = entry.config, "yes", ""
    if verify:
        try:
            folder.verify(entry.folder)
            here = "verified"
        except ValueError as error:
            here, problem = "unusable", str(error)
    parameters = folder.num_parameters(config.spec)
    return Row(entry.name, config.component, parameters, size, config.licence, here, config.stage, problem)


@functools.cache
def _parameters(preset: str) -> int:
    from moshi_zoo import registry
    from moshi_zoo.zoo import folder

    return folder.num_parameters(registry.to_portable(registry.preset(preset))) if preset else 0


def _print_presets(console: "Console", wanted: str) -> None:
    from rich.table import Table
    from torch import nn

    from moshi_zoo import registry

    presets = Table("preset", "parameters", title="Presets", title_justify="left")
    for name in registry.names(nn.Module):
        if wanted in name:
            presets.add_row(name, rounded(_parameters(name)))
    if presets.row_count:
        console.print(presets)
