"""README.md of a zoo folder, and of a folder for another project: model cards written from a config."""

from typing import TYPE_CHECKING

from moshi_zoo.zoo import licences

if TYPE_CHECKING:
    from moshi_zoo.zoo.config import ZooConfig

_CARD = """\
---
library_name: moshi_zoo
{licence_head}
tags: [moshi_zoo, {component}]
---

# {name}

A `{component}` with {parameters}, saved by moshi_zoo {version}.

{table}

```python
import moshi_zoo

model = moshi_zoo.load({arguments})
```

{notes}All sizes are in `config.yaml`. The folder holds no code: it names registered components only.
"""
_EXPORTED = """\
---
library_name: transformers
{licence_head}
tags: [moshi_zoo, {component}]
---

# {name}

A `{component}` with {parameters}, written by moshi_zoo {version} for transformers.

{table}

```python
from transformers import {loader}

model = {loader}.from_pretrained("path/to/{name}")
```
"""
_TABLE = """\
| | |
|---|---|
| made by | {stage} |
| started from | {parents} |
| licence of the weights | {licence} |
| sha256 of {whose} | `{sha256}` |"""
_LOADERS = {"mimi": "MimiModel", "helium": "AutoModelForCausalLM", "moshi": "MoshiForConditionalGeneration"}


def model_card(name: str, config: "ZooConfig", num_parameters: int, notes: str = "") -> str:
    """The text of a zoo folder's card.

    Args:
        name: of the folder.
        config: what the folder's ``config.yaml`` holds.
        num_parameters: how many numbers its weights have.
        notes: what else it shall say, in Markdown.
    """
    path = f'"{name}"' if notes else f'"path/to/{name}"'  # with notes it is a release, which is known by its name
    is_adapter = config.component == "lora" and config.parents
    return _CARD.format(
        **_facts(name, config, num_parameters, whose="`model.safetensors`"),
        arguments=f'"{config.parents[0].name}", adapter={path}' if is_adapter else path,
        notes=f"{notes.strip()}\n\n" if notes else "",
    )


def exported_card(name: str, config: "ZooConfig", num_parameters: int) -> str:
    """The text of the card of a folder in Hugging Face's layout.

    Args:
        name: of the folder.
        config: of the zoo folder that it was made from.
        num_parameters: how many numbers its weights have.
    """
    facts = _facts(name, config, num_parameters, whose="the zoo folder's weights")
    return _EXPORTED.format(**facts, loader=_LOADERS[config.component])


def _facts(name: str, config: "ZooConfig", num_parameters: int, *, whose: str) -> dict[str, str]:
    table = _TABLE.format(
        stage=config.stage or "unknown",
        parents=", ".join(f"{p.name} (`{p.sha256[:12]}`)" for p in config.parents) or "random weights",
        licence=config.licence,
        whose=whose,
        sha256=config.sha256,
    )
    head = "\n".join(f"{key}: {value}" for key, value in licences.for_card(config.licence).items())
    return {
        "name": name,
        "component": config.component,
        "parameters": _rounded(num_parameters),
        "version": config.version,
        "licence_head": head,
        "table": table,
    }


def _rounded(count: int) -> str:
    for unit, word in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if count >= unit:
            return f"{count / unit:.3g} {word} parameters"
    return f"{count} parameters"
