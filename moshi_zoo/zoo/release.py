"""Makes of a run's zoo folder one to hand on: in half the bytes, with a licence, and with parents that others have."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePath
from typing import Literal, get_args

import torch
from torch import Tensor

from moshi_zoo import registry
from moshi_zoo.zoo import convert, folder, licences, uri
from moshi_zoo.zoo.config import Parent, ZooConfig, read_config
from moshi_zoo.zoo.deferred import compute, defer
from moshi_zoo.zoo.fit import check_fit
from moshi_zoo.zoo.lineage import Ancestor
from moshi_zoo.zoo.names import Tensors
from moshi_zoo.zoo.sampling import Sampling
from moshi_zoo.zoo.tensor_file import open_tensors

Precision = Literal["same", "float32", "float16", "bfloat16"]


def release(
    source: Path,
    out: Path,
    *,
    licence: str,
    parents: Iterable[Parent],
    precision: Precision = "same",
    sampling: Sampling | None = None,
    notes: Callable[[ZooConfig], str],
) -> ZooConfig:
    """Write a zoo folder to hand on.

    Args:
        source: the zoo folder.
        out: the one to write; a zoo folder that is there is replaced.
        licence: SPDX name.
        parents: as :func:`known_parents` names them.
        precision: of the weights; ``same``: that of the source. float16 takes half the bytes of float32, which it is
            loaded as; its rounding is an eighth of bfloat16's.
        sampling: how to draw from it; None: as the source says.
        notes: gives what its model card shall say beside what its config does.

    Raises:
        ValueError: if the source is damaged or the one to be written, there is no such licence, it is not the one that
            the source has, or a weight has no place in the precision.
    """
    config = read_config(source)
    if out.resolve() == source.resolve():
        raise ValueError(f"{out} is the model itself, which its release would replace: name another folder")
    licence = licences.checked(licence)
    if config.licence not in (licences.UNSPECIFIED, licence):
        raise ValueError(f"{source} may be used under {config.licence}, not under {licence}: {source / 'config.yaml'}")
    folder.verify(source)
    folder.check(source)
    return folder.save(
        out,
        config.spec,
        rounded(open_tensors(source / folder.WEIGHTS), precision),
        stage=config.stage,
        parents=parents,
        licence=licence,
        data_sha256=config.data_sha256,
        tokenizer=convert.tokenizer_beside(source),
        text_layout=config.text_layout,
        sampling=sampling or config.sampling,
        notes=notes,
    )


def rounded(tensors: Tensors, precision: Precision) -> Tensors:
    """The tensors in another precision, rounded when they are computed; whole numbers stay.

    Raises:
        ValueError: if there is no such precision; when computed, if a number is too large for it.
    """
    if precision not in get_args(Precision):
        raise ValueError(registry.unknown("precision", precision, get_args(Precision)))
    if precision == "same":
        return tensors
    dtype = getattr(torch, precision)

    def deferred(name: str, tensor: Tensor) -> Tensor:
        like = torch.empty_like(tensor, dtype=dtype, device="meta")
        return defer(like, lambda: _rounded(name, compute(tensor), dtype))

    return {n: deferred(n, t) if t.is_floating_point() else t for n, t in tensors.items()}


def stand_ins(pairs: Iterable[str]) -> dict[str, Parent]:
    """The releases that stand for a model's ancestors: sha256 of an ancestor's weights, or of its release's -> release.

    Args:
        pairs: ``MODEL=RELEASE``, names or folders.

    Raises:
        ValueError: if it is no such pair, one is not there, or both are models of different kinds.
    """
    found = {}
    for pair in pairs:
        model, sign, released = pair.rpartition("=")
        if not sign:
            raise ValueError(f"{pair!r} is not MODEL=RELEASE, such as runs/helium=checkpoints/helium-nano")
        before, after = uri.resolve(model), uri.resolve(released)
        try:
            check_fit(folder.open_weights(after), folder.open_weights(before), promise=str(before))
        except ValueError as error:
            raise ValueError(f"{released} is no release of {model}: {error}") from error
        stands_for = Parent(after.name, read_config(after).sha256)
        found |= dict.fromkeys((read_config(before).sha256, stands_for.sha256), stands_for)
    return found


def known_parents(model: Ancestor, released: Mapping[str, Parent]) -> list[Parent]:
    """The nearest ancestors that have been released; what lies between them and the model was a step on its way.

    Args:
        model: with its lineage.
        released: sha256 of an ancestor's weights -> the release that stands for it.

    Returns:
        Those; and ancestors without parents and without a release, by the last part of their name.

    Raises:
        ValueError: if the model is an adapter, and the model that it adapts has not been released.
    """
    if model.config and model.config.component == "lora" and not _is_released(model.parents[:1], released):
        base = model.parents[0].name if model.parents else "no parent"
        raise ValueError(
            f"{model.name} adapts {base}, which is none of the releases: release that first, and name it here"
        )
    found: dict[str, Parent] = {}
    for parent in model.parents:
        if parent.sha256 in released:
            stands_for = [released[parent.sha256]]
        elif parent.parents:
            stands_for = known_parents(parent, released)
        else:
            stands_for = [Parent(PurePath(parent.name).name, parent.sha256)]
        found |= {one.sha256: one for one in stands_for}
    return list(found.values())


def _is_released(models: tuple[Ancestor, ...], released: Mapping[str, Parent]) -> bool:
    return bool(models) and models[0].sha256 in released


def _rounded(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    result = tensor.to(dtype)
    if not torch.equal(result.isfinite(), tensor.isfinite()):
        largest = tensor.abs().max().item()
        raise ValueError(f"{name} has a value of {largest:.4g}, but {dtype} ends at {torch.finfo(dtype).max:.4g}")
    return result
