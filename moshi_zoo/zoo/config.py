"""``config.yaml`` of a zoo folder, read as if a stranger wrote it.

Only registered names become code (:func:`moshi_zoo.registry.from_portable`); the YAML has no tags and no aliases.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from moshi_zoo import __version__, registry
from moshi_zoo.zoo.sampling import Sampling, read_sampling
from moshi_zoo.zoo.text_layout import TextLayout, read_text_layout

FILE = "config.yaml"
_MAX_BYTES = 256 * 1024
_NO_TEXTS = {"init_args", "parents", "text_layout", "sampling"}


@dataclass(frozen=True)
class Parent:
    """A zoo folder whose weights went into this one."""

    name: str
    sha256: str


@dataclass(frozen=True)
class ZooConfig:
    """What ``config.yaml`` holds.

    Args:
        component: registered name of the model.
        init_args: its arguments; nested parts are ``{component, init_args}`` again.
        sha256: of ``model.safetensors``.
        stage: what made the weights, such as ``LitMimi`` or ``import kyutai``.
        parents: where the weights came from.
        licence: under which the weights may be used.
        data_sha256: of the manifest they were trained on; empty: unknown.
        tokenizer_sha256: of ``tokenizer.model``; empty: the model speaks no text.
        text_layout: of a speech language model.
        sampling: likewise; None: nothing is said of it.
        version: of moshi_zoo.
    """

    component: str
    init_args: dict[str, Any]
    sha256: str
    stage: str = ""
    parents: tuple[Parent, ...] = ()
    licence: str = "unspecified"
    data_sha256: str = ""
    tokenizer_sha256: str = ""
    text_layout: TextLayout = field(default_factory=TextLayout)
    sampling: Sampling | None = None
    version: str = field(default=__version__)

    @property
    def spec(self) -> registry.Spec:
        """The portable ``{component, init_args}``."""
        return {"component": self.component, "init_args": self.init_args}


def write_config(folder: Path, config: ZooConfig) -> None:
    """Write ``config.yaml``."""
    content: dict[str, Any] = {**asdict(config), "parents": [asdict(p) for p in config.parents]}
    if config.text_layout == TextLayout():
        del content["text_layout"]
    if config.sampling is None:
        del content["sampling"]
    (folder / FILE).write_text(yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def read_config(folder: Path) -> ZooConfig:
    """Read and check ``config.yaml``.

    Raises:
        ValueError: if it is missing, too large, no plain YAML, or says something it may not.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise ValueError(f"{folder} is no zoo folder: it has no {FILE}")
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"{path} has {path.stat().st_size} bytes; a config has at most {_MAX_BYTES}")
    try:
        content = yaml.load(path.read_text(), Loader=_Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ValueError(f"{path} is no plain YAML: {' '.join(str(error).split())}") from error
    try:
        return _checked(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _checked(content: Any) -> ZooConfig:
    known = [f.name for f in fields(ZooConfig)]
    for key in _mapping("the config", content).keys() - set(known):
        raise ValueError(registry.unknown("entry", str(key), known))
    for key in ("component", "init_args", "sha256"):
        if key not in content:
            raise ValueError(f"the entry {key!r} is missing")
    parents = content.get("parents", [])
    if not isinstance(parents, list):
        raise ValueError(f"parents must be a list, not {parents!r}")
    texts = {key: _text(key, content[key]) for key in content.keys() - _NO_TEXTS}
    config = ZooConfig(
        **texts,
        init_args=_mapping("init_args", content["init_args"]),
        parents=tuple(
            Parent(_text("name", p.get("name")), _text("sha256", p.get("sha256"))) for p in map(_parent, parents)
        ),
        text_layout=read_text_layout(content.get("text_layout", {})),
        sampling=read_sampling(content["sampling"]) if "sampling" in content else None,
    )
    registry.from_portable(config.spec)
    return config


def _parent(value: Any) -> dict[str, Any]:
    return _mapping("a parent", value)


def _mapping(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be a mapping, not {value!r}")
    return dict(value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a text, not {value!r}")
    return value


class _Loader(yaml.SafeLoader):
    """Plain values only: no tags, and no aliases, which can grow a few lines into gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed")
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True
