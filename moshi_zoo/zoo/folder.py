"""A zoo folder: a model with everything needed to rebuild it, in files that cannot run code.

    config.yaml         registered component and its init_args, stage, parents, licence, sha256 of the weights
    model.safetensors   the weights
    tokenizer.model     where the model speaks text
    README.md           a model card made from the above

Folders come from strangers. Reading one resolves registered names only (:func:`moshi_zoo.registry.from_portable`), never
unpickles, and reads YAML without tags and aliases.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from moshi_zoo import __version__, registry
from moshi_zoo.zoo.card import model_card

CONFIG, WEIGHTS, TOKENIZER, CARD = "config.yaml", "model.safetensors", "tokenizer.model", "README.md"
_MAX_CONFIG_BYTES = 256 * 1024
_NUM_SHOWN = 5  # problems listed in one message


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
        data_sha256: of the manifest they were trained on.
        version: of moshi_zoo.
    """

    component: str
    init_args: dict[str, Any]
    sha256: str
    stage: str = ""
    parents: tuple[Parent, ...] = ()
    licence: str = "unspecified"
    data_sha256: str | None = None
    version: str = field(default=__version__)

    @property
    def spec(self) -> registry.Spec:
        """The portable ``{component, init_args}``."""
        return {"component": self.component, "init_args": self.init_args}


def save(
    folder: Path,
    spec: registry.Spec,
    tensors: Mapping[str, Tensor],
    *,
    stage: str,
    parents: Iterable[Parent] = (),
    licence: str = "unspecified",
    data_sha256: str | None = None,
    tokenizer: Path | None = None,
) -> ZooConfig:
    """Write a zoo folder; one that is there already is replaced as a whole, so readers never see half of it.

    Args:
        folder: where; its parents are made.
        spec: portable ``{component, init_args}``.
        tensors: the state dict.
        stage: what made the weights.
        parents: where the weights came from.
        licence: under which they may be used.
        data_sha256: of the manifest they were trained on.
        tokenizer: a sentencepiece file to copy.

    Raises:
        ValueError: if the spec could not be loaded again, or the folder is something else than a zoo folder.
    """
    registry.from_portable(spec)
    folder = Path(folder).absolute()
    if folder.is_dir() and any(folder.iterdir()) and not is_zoo_folder(folder):
        raise ValueError(f"{folder} exists and is no zoo folder; name a new or empty folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        new = Path(scratch) / "new"
        new.mkdir()
        save_file({k: v.detach().contiguous().cpu() for k, v in tensors.items()}, new / WEIGHTS)
        config = ZooConfig(
            component=spec["component"],
            init_args=spec.get("init_args", {}),
            sha256=_sha256(new / WEIGHTS),
            stage=stage,
            parents=tuple(parents),
            licence=licence,
            data_sha256=data_sha256,
        )
        (new / CONFIG).write_text(yaml.dump(_plain(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True))
        num_parameters = sum(t.numel() for t in tensors.values())
        (new / CARD).write_text(model_card(folder.name, config, num_parameters))
        if tokenizer:
            shutil.copyfile(tokenizer, new / TOKENIZER)
        if folder.exists():
            folder.rename(Path(scratch) / "old")  # deleted with the scratch folder
        new.rename(folder)
    return config


def load(folder: Path, device: torch.device | str = "cpu") -> nn.Module:
    """Rebuild the model of a zoo folder, in eval mode.

    The model is laid out without memory and then takes the tensors of the file as they are (and in their dtype), so the
    peak is one copy of the weights.

    Raises:
        ValueError: if the folder is none, is not safe, or its weights do not fit its config.
    """
    config = read_config(folder)
    with torch.device("meta"):
        module = registry.instantiate(registry.from_portable(config.spec))
    tensors = read_weights(folder, device)
    _check_fit(module, tensors, folder)
    _restore_unsaved_buffers(module, device)
    module.load_state_dict(tensors, assign=True)
    return module.eval()


def read_config(folder: Path) -> ZooConfig:
    """Read and check ``config.yaml``.

    Raises:
        ValueError: if it is missing, too large, no plain YAML, or says something it may not.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise ValueError(f"{folder} is no zoo folder: it has no {CONFIG}")
    if path.stat().st_size > _MAX_CONFIG_BYTES:
        raise ValueError(f"{path} has {path.stat().st_size} bytes; a config has at most {_MAX_CONFIG_BYTES}")
    try:
        content = yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506 - a SafeLoader without aliases
    except (yaml.YAMLError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no plain YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds no mapping")
    known = {f.name for f in fields(ZooConfig)}
    if missing := {"component", "init_args", "sha256"} - content.keys():
        raise ValueError(f"{path} lacks {', '.join(sorted(missing))}")
    for key in content.keys() - known:
        raise ValueError(f"{path}: {registry.unknown('entry', str(key), known)}")
    try:
        config = ZooConfig(**{**content, "parents": tuple(Parent(**p) for p in content.get("parents", ()))})
        registry.from_portable(config.spec)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    return config


def read_weights(folder: Path, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The tensors of a zoo folder.

    Raises:
        ValueError: if the file is missing or damaged.
    """
    path = Path(folder) / WEIGHTS
    if not path.is_file():
        raise ValueError(f"{folder} has no {WEIGHTS}")
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or no safetensors file: {error}") from error


def verify(folder: Path) -> None:
    """Compare the weights with the sha256 in the config.

    Raises:
        ValueError: if they differ.
    """
    expected, found = read_config(folder).sha256, _sha256(Path(folder) / WEIGHTS)
    if found != expected:
        raise ValueError(f"{folder}: {WEIGHTS} has sha256 {found[:12]}…, its config says {str(expected)[:12]}…")


def is_zoo_folder(folder: Path) -> bool:
    """Whether the two files that make a zoo folder are there."""
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def _check_fit(module: nn.Module, tensors: Mapping[str, Tensor], folder: Path) -> None:
    own = module.state_dict()
    problems = [f"{k} is missing" for k in own.keys() - tensors.keys()]
    problems += [f"{k} is unknown" for k in tensors.keys() - own.keys()]
    problems += [
        f"{k} has shape {list(tensors[k].shape)} instead of {list(own[k].shape)}"
        for k in own.keys() & tensors.keys()
        if own[k].shape != tensors[k].shape
    ]
    if problems:
        more = f"; and {len(problems) - _NUM_SHOWN} more" if len(problems) > _NUM_SHOWN else ""
        raise ValueError(f"{folder}: the weights do not fit the config: {'; '.join(sorted(problems)[:_NUM_SHOWN])}{more}")


def _restore_unsaved_buffers(module: nn.Module, device: torch.device | str) -> None:
    """Fill what no state dict holds, such as tables of rotary angles."""
    saved = module.state_dict().keys()
    for name, part in module.named_modules():
        prefix = f"{name}." if name else ""
        if any(prefix + key not in saved for key, _ in part.named_buffers(recurse=False)):
            part.to_empty(device=device, recurse=False)
            part.reset_parameters()


def _plain(config: ZooConfig) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Loader(yaml.SafeLoader):
    """Plain values only: no tags, and no aliases, which can grow a few lines into gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed")
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True
