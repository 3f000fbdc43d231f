"""The README.md of a zoo folder: a model card written from its config."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moshi_zoo.zoo.config import ZooConfig

_CARD = """\
---
library_name: moshi_zoo
license: {licence}
tags: [moshi_zoo, {component}]
---

# {name}

A `{component}` with {parameters}, saved by moshi_zoo {version}.

| | |
|---|---|
| made by | {stage} |
| started from | {parents} |
| licence of the weights | {licence} |
| sha256 of `model.safetensors` | `{sha256}` |

```python
import moshi_zoo

model = moshi_zoo.load({arguments})
```

All sizes are in `config.yaml`. The folder holds no code: it names registered components only.
"""


def model_card(name: str, config: "ZooConfig", num_parameters: int) -> str:
    """The text of the card.

    Args:
        name: of the folder.
        config: what the folder's ``config.yaml`` holds.
        num_parameters: how many numbers its weights have.
    """
    path = f'"path/to/{name}"'
    is_adapter = config.component == "lora" and config.parents
    parents = ", ".join(f"{p.name} (`{p.sha256[:12]}`)" for p in config.parents)
    return _CARD.format(
        name=name,
        arguments=f'"{config.parents[0].name}", adapter={path}' if is_adapter else path,
        component=config.component,
        parameters=_rounded(num_parameters),
        version=config.version,
        stage=config.stage or "unknown",
        parents=parents or "random weights",
        licence=config.licence,
        sha256=config.sha256,
    )


def _rounded(count: int) -> str:
    for unit, word in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if count >= unit:
            return f"{count / unit:.3g} {word} parameters"
    return f"{count} parameters"
