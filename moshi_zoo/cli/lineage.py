"""The verb ``lineage``: which models a model was made from."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.tree import Tree

    from moshi_zoo.zoo.lineage import Ancestor

_STANDING = {
    "changed": "[red]its name has other weights by now[/]",
    "missing": "[red]not here[/]",
}


def lineage(name: str, *, json: bool = False) -> None:
    """Show the models that a model was made from, and those that they were made from.

    A model that has been moved or renamed is found by the sha256 of its weights.

    Args:
        name: name, run or folder of a model.
        json: print it as JSON.
    """
    from moshi_zoo.zoo.lineage import trace

    found = trace(name)
    if json:
        from json import dumps

        print(dumps(_as_dict(found), indent=2))
        return
    from rich.console import Console
    from rich.tree import Tree

    tree = Tree(_line(found))
    _grow(tree, found)
    Console(soft_wrap=True).print(tree)


def _grow(tree: "Tree", model: "Ancestor") -> None:
    for parent in model.parents:
        _grow(tree.add(_line(parent)), parent)


def _line(model: "Ancestor") -> str:
    from rich.markup import escape

    facts = [f"[bold]{escape(model.name)}[/]"]
    if model.config:
        facts += [model.config.component, f"by {escape(model.config.stage or 'unknown')}"]
    facts.append(f"[dim]{escape(model.sha256[:12])}[/]")
    if model.standing == "moved":
        facts.append(f"[yellow]now in {escape(str(model.folder))}[/]")
    elif model.standing != "here":
        facts.append(_STANDING[model.standing])
    return "  ".join(facts)


def _as_dict(model: "Ancestor") -> dict[str, Any]:
    known = model.config
    return {
        "name": model.name,
        "sha256": model.sha256,
        "standing": model.standing,
        "folder": str(model.folder) if model.folder else None,
        "component": known.component if known else None,
        "stage": known.stage if known else None,
        "version": known.version if known else None,
        "licence": known.licence if known else None,
        "parents": [_as_dict(parent) for parent in model.parents],
    }
