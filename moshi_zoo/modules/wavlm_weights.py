"""WavLM's weights from the files that people have: torchaudio's, and Hugging Face's whose names are translated.

Files come from strangers: safetensors, or pickles of which only tensors are read.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

_IN_A_FOLDER = ("model.safetensors", "pytorch_model.bin")

# Hugging Face's names -> torchaudio's, which none of these patterns matches
_RENAMED = (
    (r"^wavlm\.", ""),
    (r"^feature_projection\.", "encoder.feature_projection."),
    (r"^encoder\.(layers|layer_norm|pos_conv_embed)\.", r"encoder.transformer.\1."),
    (r"(layers\.\d+\.attention)\.(out_proj|[qkv]_proj)\.", r"\1.attention.\2."),
    (r"\.conv\.weight_g$", ".conv.parametrizations.weight.original0"),  # weight norm before torch 2.1
    (r"\.conv\.weight_v$", ".conv.parametrizations.weight.original1"),
)
_OURS = ("feature_extractor.", "encoder.")  # all else belongs to heads, and to pretraining

_HOW_TO_GET_THEM = (
    "`hf download microsoft/wavlm-large --local-dir checkpoints/wavlm-large` fetches them (1.3 GB; for the base-plus "
    "preset microsoft/wavlm-base-plus, 0.4 GB); then say `--model.teacher.weights checkpoints/wavlm-large`. "
    "Without a network, take a teacher that needs no weights: mfcc-teacher-nano, or phoneme-teacher-english for speech "
    "whose manifest has phonemes"
)


def read_weights(path: str | None) -> dict[str, Tensor]:
    """Tensors of a file, float32, under torchaudio's names.

    Args:
        path: a ``.safetensors`` file, a ``.bin``, ``.pt`` or ``.pth`` file, or a folder with one of Hugging Face's.

    Raises:
        ValueError: if there is no such file (the message says where to get one), or it holds more than tensors.
    """
    if path is None:
        raise ValueError(f"the WavLM teacher has no weights: {_HOW_TO_GET_THEM}")
    file = Path(path).expanduser()
    if file.is_dir():
        file = next((file / name for name in _IN_A_FOLDER if (file / name).is_file()), file)
    if not file.is_file():
        what = f"{path} has neither {' nor '.join(_IN_A_FOLDER)}" if file.is_dir() else f"{path} does not exist"
        raise ValueError(f"the WavLM teacher has no weights: {what}; {_HOW_TO_GET_THEM}")
    try:
        tensors = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{file} cannot be read as a file of tensors, and nothing else is: {error}") from error
    return _to_torchaudio(tensors)


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Put tensors in the place of a network's parameters, which may be on the meta device.

    Args:
        network: torchaudio's WavLM.
        tensors: of :func:`read_weights`.
        source: what the message calls them.

    Raises:
        ValueError: if any is missing, or they are those of another network.
    """
    wanted = network.state_dict()
    wrong = {
        "missing": wanted.keys() - tensors.keys(),
        "unknown": tensors.keys() - wanted.keys(),
        "of another shape": {n for n in wanted.keys() & tensors.keys() if wanted[n].shape != tensors[n].shape},
    }
    if any(wrong.values()):
        problems = "; ".join(f"{len(names)} {kind} ({_first(names)})" for kind, names in wrong.items() if names)
        raise ValueError(f"{source} holds another network's weights. Tensors: {problems}. Is the preset the right one?")
    network.load_state_dict(tensors, assign=True)


def _to_torchaudio(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in tensors.items():
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name)
        if name.startswith(_OURS):
            renamed[name] = tensor.float()
    for query in [name for name in renamed if ".q_proj." in name]:
        parts = [query.replace(".q_proj.", f".{part}_proj.") for part in "qkv"]
        if all(part in renamed for part in parts):  # else the product will be found missing
            renamed[query.replace(".q_proj.", ".in_proj_")] = torch.cat([renamed.pop(part) for part in parts])
    return renamed


def _first(names: Iterable[str]) -> str:
    return f"{min(names)}, ..."
