"""A Moshi and the codec whose codes it speaks, from the zoo."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from moshi_zoo.models.mimi import Mimi
from moshi_zoo.models.moshi import Moshi
from moshi_zoo.tokenizer import FILE, Tokenizer
from moshi_zoo.zoo import adapters, folder, uri
from moshi_zoo.zoo.config import read_config
from moshi_zoo.zoo.lineage import Ancestor, trace
from moshi_zoo.zoo.sampling import Sampling
from moshi_zoo.zoo.text_layout import TextLayout

_CODEC = "mimi"


@dataclass(frozen=True)
class Pair:
    """Models that belong together, ready to use; how words lie in the Moshi's row of text, and how to draw from it."""

    moshi: Moshi
    codec: Mimi
    tokenizer: Tokenizer
    text_layout: TextLayout = field(default_factory=TextLayout)
    sampling: Sampling | None = None


def load_pair(name: str, *, codec: str | None = None, voice: str | None = None, device: str = "cpu") -> Pair:
    """Load a Moshi, its codec and its tokenizer.

    Args:
        name: of the Moshi.
        codec: name of its codec; None: the one that its zoo folder names as a parent.
        voice: name of an adapter, which is added to the Moshi's weights.
        device: where to put them.

    Raises:
        ValueError: if one is not there, is something else, or does not fit the others.
    """
    path = uri.resolve(name)
    config = read_config(path)
    if (component := config.component) != "moshi":
        more = ": it writes text, `generate` lets it" if component == "helium" else ""
        raise ValueError(f"{name} is a {component}, with which nobody can talk{more}. --model takes a Moshi")
    if not (path / FILE).is_file():
        raise ValueError(f"{path} has no {FILE}: copy the SentencePiece model that it was trained with there")
    codec_path = find_codec(name) if codec is None else _named_codec(codec)
    moshi = cast("Moshi", folder.load(path, device))
    if voice is not None:
        moshi.load_state_dict(adapters.merged_weights(path, uri.resolve(voice)))
        config = adapters.config_with_adapter(path, uri.resolve(voice))
    mimi, tokenizer = cast("Mimi", folder.load(codec_path, device)), Tokenizer.load(path / FILE)
    pair = Pair(moshi, mimi, tokenizer, config.text_layout, config.sampling)
    check_pair(pair.moshi, pair.codec, names=(name, str(codec_path)))
    return pair


def find_codec(name: str) -> Path:
    """The zoo folder of the codec that a Moshi was trained with: the nearest in its lineage.

    Raises:
        ValueError: if none is known, or it is not here.
    """
    home = uri.resolve(name).absolute()
    level, lost = [trace(name)], list[Ancestor]()
    while level:
        level = [_found(parent, home) for model in level for parent in model.parents]
        for parent in level:
            if parent.folder is None:
                lost.append(parent)
            elif parent.config is not None and parent.config.component == _CODEC:
                return parent.folder
    fix = "name the codec that made the codes it was trained on: --codec NAME"
    if lost:
        gone = ", ".join(f"{model.name} ({model.sha256[:12]}…)" for model in lost)
        raise ValueError(f"the codec of {name} is not here; it must be among its missing parents: {gone}. Or {fix}")
    raise ValueError(f"nothing in the lineage of {name} is a codec: {fix}")


def _found(parent: Ancestor, home: Path) -> Ancestor:
    """The parent; if it is lost under its name, the one that lies beside its child as it did in training."""
    if parent.folder is None:
        for above in home.parents:
            for place in (above / parent.name, above / parent.name / "zoo"):
                if folder.is_zoo_folder(place) and read_config(place).sha256 == parent.sha256:
                    return trace(str(place))
    return parent


def check_pair(moshi: Moshi, codec: Mimi, *, names: tuple[str, str] = ("this Moshi", "this codec")) -> None:
    """See that a Moshi can speak with a codec.

    Args:
        moshi: the Moshi.
        codec: the codec.
        names: what to call them.

    Raises:
        ValueError: if their codes are different ones.
    """
    fix = "give the codec that made the codes it was trained on (--codec)"
    if moshi.codebook_size != codec.codebook_size:
        raise ValueError(
            f"{names[0]} speaks in codes of {moshi.codebook_size} values, those of {names[1]} have "
            f"{codec.codebook_size}: {fix}"
        )
    needed = max(moshi.num_own_codebooks, moshi.num_user_codebooks)
    if needed > codec.num_codebooks:
        raise ValueError(
            f"{names[0]} speaks in {needed} codes a frame, {names[1]} has only {codec.num_codebooks}: {fix}"
        )


def _named_codec(name: str) -> Path:
    path = uri.resolve(name)
    component = read_config(path).component
    if component != _CODEC:
        raise ValueError(f"--codec: {name} is a {component}, which is no codec")
    return path
