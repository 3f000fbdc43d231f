"""``config.yaml`` of a zoo folder, read as if a stranger wrote it.

Only registered names become code (:func:`moshi_zoo.registry.from_portable`); the YAML has no tags and no aliases.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from moshi_zoo import __version__, registry

FILE = "config.yaml"
_MAX_BYTES = 256 * 1024
_TEXT_OF = ("", "moshi", "user", "both", "moshi_and_heard")
_DELAYS_S = {"duplex": 0.0, "asr": -0.64, "tts": 0.4, "heard": 0.0}
_LONGEST_DELAY_S = 60.0


@dataclass(frozen=True)
class Parent:
    """A zoo folder whose weights went into this one."""

    name: str
    sha256: str


@dataclass(frozen=True)
class TextLayout:
    """How words lie in the row of text that a speech language model has learnt; empty where that is not known.

    Args:
        of: whose words there are in a conversation: ``moshi``, ``user``, ``both``, or ``moshi_and_heard``.
        delays_s: how much earlier than the speech they are, in seconds, in each mode that was trained (``duplex``,
            ``asr``, ``tts``); ``heard``: those of the user's in a conversation. Below 0 they follow it.
    """

    of: str = ""
    delays_s: dict[str, float] = field(default_factory=dict)

    def delay_s(self, mode: str) -> float:
        """Of one mode; where it is not known, that of the nano recipes."""
        return self.delays_s.get(mode, _DELAYS_S[mode])


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
    texts = {key: _text(key, content[key]) for key in content.keys() - {"init_args", "parents", "text_layout"}}
    config = ZooConfig(
        **texts,
        init_args=_mapping("init_args", content["init_args"]),
        parents=tuple(
            Parent(_text("name", p.get("name")), _text("sha256", p.get("sha256"))) for p in map(_parent, parents)
        ),
        text_layout=_text_layout(content.get("text_layout", {})),
    )
    registry.from_portable(config.spec)
    return config


def _parent(value: Any) -> dict[str, Any]:
    return _mapping("a parent", value)


def _text_layout(value: Any) -> TextLayout:
    layout = _mapping("text_layout", value)
    for key in layout.keys() - {"of", "delays_s"}:
        raise ValueError(registry.unknown("entry of text_layout", str(key), ["of", "delays_s"]))
    of, delays = layout.get("of", ""), _mapping("text_layout.delays_s", layout.get("delays_s", {}))
    if of not in _TEXT_OF:
        raise ValueError(f"text_layout.of is {of!r}; it must be one of {', '.join(_TEXT_OF[1:])}")
    for mode, delay in delays.items():
        if mode not in _DELAYS_S:
            raise ValueError(registry.unknown("mode of text_layout", str(mode), list(_DELAYS_S)))
        if type(delay) not in (int, float) or not -_LONGEST_DELAY_S <= delay <= _LONGEST_DELAY_S:
            raise ValueError(f"text_layout.delays_s.{mode} is {delay!r}; it must be a number of seconds, 60 at most")
    return TextLayout(of, {mode: float(delay) for mode, delay in delays.items()})


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
