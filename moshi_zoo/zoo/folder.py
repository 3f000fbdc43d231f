"""A zoo folder: a model with everything needed to rebuild it, in files that cannot run code.

    config.yaml         registered component and its init_args, stage, parents, licence, sha256 of the weights
    model.safetensors   the weights
    tokenizer.model     where the model speaks text
    README.md           a model card made from the above

Folders come from strangers: reading one never unpickles, and makes registered components only.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from moshi_zoo import registry
from moshi_zoo.tokenizer import FILE as TOKENIZER
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.zoo import config as config_file
from moshi_zoo.zoo.card import model_card
from moshi_zoo.zoo.config import Parent, ZooConfig, read_config, write_config
from moshi_zoo.zoo.deferred import computed
from moshi_zoo.zoo.fit import check_fit
from moshi_zoo.zoo.outline import laid_out, outline
from moshi_zoo.zoo.sampling import Sampling
from moshi_zoo.zoo.tensor_file import open_tensors, write_tensors
from moshi_zoo.zoo.text_layout import TextLayout

WEIGHTS, CARD = "model.safetensors", "README.md"


def save(
    folder: Path,
    spec: registry.Spec,
    tensors: Mapping[str, Tensor],
    *,
    stage: str,
    parents: Iterable[Parent] = (),
    licence: str = "unspecified",
    data_sha256: str = "",
    tokenizer: Tokenizer | None = None,
    text_layout: TextLayout | None = None,
    sampling: Sampling | None = None,
    notes: Callable[[ZooConfig], str] = lambda config: "",
) -> ZooConfig:
    """Write a zoo folder; one that is there already is replaced as a whole, so readers never see half of it.

    Args:
        folder: where; its parents are made.
        spec: portable ``{component, init_args}``.
        tensors: the state dict; deferred tensors are computed one after the other.
        stage: what made the weights.
        parents: where the weights came from.
        licence: under which they may be used.
        data_sha256: of the manifest they were trained on.
        tokenizer: of the text that the model speaks.
        text_layout: of a speech language model, where it is known.
        sampling: how to draw from a speech language model; None: nothing is said of it.
        notes: gives what else its model card shall say, in Markdown, by its config.

    Raises:
        ValueError: if the result could not be loaded again, or the folder is something else than a zoo folder.
    """
    spec = registry.to_portable(registry.complete(registry.from_portable(spec)))
    folder = Path(folder).absolute()
    _check_fit(spec, tensors, folder)
    if folder.exists() and not is_zoo_folder(folder) and (folder.is_file() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists and is no zoo folder; name a new or empty folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        new = Path(scratch) / "new"
        new.mkdir()
        write_tensors(tensors, new / WEIGHTS)
        config = ZooConfig(
            component=spec["component"],
            init_args=spec.get("init_args", {}),
            sha256=_sha256(new / WEIGHTS),
            stage=stage,
            parents=tuple(parents),
            licence=licence,
            data_sha256=data_sha256,
            tokenizer_sha256=tokenizer.sha256 if tokenizer else "",
            text_layout=text_layout or TextLayout(),
            sampling=sampling,
        )
        write_config(new, config)
        (new / CARD).write_text(model_card(folder.name, config, num_parameters(spec), notes(config)))
        if tokenizer:
            tokenizer.save(new / TOKENIZER)
        if folder.exists():
            folder.rename(Path(scratch) / "old")  # deleted with the scratch folder
        new.rename(folder)
    return config


def load(folder: Path, device: torch.device | str = "cpu") -> nn.Module:
    """Rebuild the model of a zoo folder, in eval mode.

    The model is laid out without memory and then takes the tensors of the file as they are (and in their dtype, but see
    :func:`open_weights`), so the peak is one copy of the weights.

    Raises:
        ValueError: if the folder is none, is not safe, or its weights do not fit its config.
    """
    config = read_config(folder)
    _check_fit(config.spec, open_weights(folder), folder)
    module, tensors = laid_out(config.spec), read_weights(folder, device)
    _restore_unsaved_buffers(module, device)
    module.load_state_dict(tensors, assign=True)
    return module.eval()


def read_weights(folder: Path, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The tensors of a zoo folder.

    Raises:
        ValueError: if the file is missing or damaged.
    """
    return computed(open_weights(folder), device)


def open_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of a zoo folder, deferred: each is read when it is computed.

    float16 becomes float32: it keeps weights in half the space, nearly as they were, but what a model computes may
    exceed its range. Other dtypes stay: bfloat16 is one to compute in.

    Raises:
        ValueError: if the file is missing or damaged.
    """
    path = Path(folder) / WEIGHTS
    if not path.is_file():
        raise ValueError(f"{folder} has no {WEIGHTS}")
    tensors = open_tensors(path)
    return {name: t.float() if t.dtype == torch.float16 else t for name, t in tensors.items()}


def check(folder: Path) -> None:
    """Compare the names and shapes of the weights with the config, without reading the weights.

    Raises:
        ValueError: if the folder is none, is not safe, or they do not fit.
    """
    _check_fit(read_config(folder).spec, open_weights(folder), folder)


def num_parameters(spec: registry.Spec) -> int:
    """How many numbers gradient descent sets in the model of a portable ``{component, init_args}``."""
    return outline(spec).num_parameters


def verify(folder: Path) -> None:
    """Compare weights and tokenizer with the sha256s in the config.

    Raises:
        ValueError: if they differ, or are missing.
    """
    config = read_config(folder)
    for name, expected in ((WEIGHTS, config.sha256), (TOKENIZER, config.tokenizer_sha256)):
        path = Path(folder) / name
        found = _sha256(path) if path.is_file() else "none"
        if expected and found != expected:
            raise ValueError(f"{folder}: {name} has sha256 {found[:12]}…, its config says {expected[:12]}…")


def is_zoo_folder(folder: Path) -> bool:
    """Whether the two files that make a zoo folder are there."""
    return (folder / config_file.FILE).is_file() and (folder / WEIGHTS).is_file()


def _check_fit(spec: registry.Spec, tensors: Mapping[str, Tensor], folder: Path) -> None:
    try:
        check_fit(tensors, outline(spec).tensors, promise="its config")
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error


def _restore_unsaved_buffers(module: nn.Module, device: torch.device | str) -> None:
    """Fill what no state dict holds, such as tables of rotary angles."""
    saved = module.state_dict().keys()
    for name, part in module.named_modules():
        prefix = f"{name}." if name else ""
        if any(prefix + key not in saved for key, _ in part.named_buffers(recurse=False)):
            part.to_empty(device=device, recurse=False)
            getattr(part, "reset_parameters")()  # noqa: B009 - a rule of this project, not of nn.Module


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
