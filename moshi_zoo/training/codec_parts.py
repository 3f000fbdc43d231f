"""The parts of a codec: which are trained, which stay as they came, and which decay."""

from collections.abc import Iterable
from typing import Any, Literal

from torch import nn

from moshi_zoo.models.mimi import Mimi

Trained = Literal["all", "decoder_and_quantizer", "decoder_and_new_codebooks", "decoder"]
KeptCodebooks = Literal["none", "started", "all"]

_ENCODER = ("encoder", "encoder_transformer", "downsample")
_FROZEN: dict[Trained, tuple[str, ...]] = {
    "all": (),
    "decoder_and_quantizer": _ENCODER,
    "decoder_and_new_codebooks": (*_ENCODER, "quantizer"),
    "decoder": (*_ENCODER, "quantizer"),
}
_KEPT_CODEBOOKS: dict[Trained, KeptCodebooks] = {"decoder_and_new_codebooks": "started", "decoder": "all"}


def frozen_parts(train: Trained) -> tuple[str, ...]:
    """Names of the codec's parts that no gradient moves.

    With the quantizer among them, codes of recordings stay what they were, to the bit.
    """
    return _FROZEN[train]


def kept_codebooks(train: Trained) -> KeptCodebooks:
    """Which codebooks, that learn without gradients, stay as they are: those that have started before, or all."""
    return _KEPT_CODEBOOKS.get(train, "none")


def freeze(codec: Mimi, train: Trained) -> None:
    """Keep gradients off the parts that are not trained."""
    for name in frozen_parts(train):
        part = getattr(codec, name)
        if part is not None:  # a codec without this transformer
            part.requires_grad_(False)


def parameter_groups(codec: Mimi, others: Iterable[nn.Parameter], *, transformer_decay: float) -> list[dict[str, Any]]:
    """What is trained of a codec, for its optimizer: the transformers' matrices decay, all else does not.

    Args:
        codec: after :func:`freeze`.
        others: trained along with it, without decay.
        transformer_decay: weight decay of the matrices.
    """
    transformers = [t for t in (codec.encoder_transformer, codec.decoder_transformer) if t is not None]
    matrices = {id(weight) for t in transformers for weight in t.parameters() if weight.dim() > 1}
    trained = [weight for weight in (*codec.parameters(), *others) if weight.requires_grad]
    groups = [
        {"params": [weight for weight in trained if id(weight) not in matrices], "weight_decay": 0.0},
        {"params": [weight for weight in trained if id(weight) in matrices], "weight_decay": transformer_decay},
    ]
    return [group for group in groups if group["params"]]
