"""The dialogues that a speech language model is evaluated on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moshi_zoo.cli.load_moshi import LoadedMoshi
    from moshi_zoo.data.dialogue_windows import Place
    from moshi_zoo.models.mimi import Mimi


def choose_dialogues(stores: Sequence[str], split: str, *, limit: int | None, model: "LoadedMoshi") -> "list[Place]":
    """Dialogues of two speakers, evenly from all stores.

    Args:
        stores: folders of codes.
        split: which dialogues: those marked so, or ``all``.
        limit: the first so many of each store; None: all.
        model: whose codes they must be.

    Raises:
        ValueError: if there are none, or a store's codes are none that the model can have been trained on.
    """
    from moshi_zoo.data.code_store import CodeStore
    from moshi_zoo.data.dialogue_windows import Place

    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; it must be 1 or more")
    net = model.net
    needed = max(net.num_own_codebooks, net.num_user_codebooks)
    places = []
    for name in stores:
        store = CodeStore(name)
        if store.codec.num_codebooks < needed or store.codec.codebook_size > net.codebook_size:
            raise ValueError(
                f"{name} has {store.codec.num_codebooks} codebooks of {store.codec.codebook_size}; this model needs "
                f"{needed} of {net.codebook_size}: encode with the codec it was trained with"
            )
        chosen = [
            Place(store, number)
            for number, entry in enumerate(store.entries)
            if split in ("all", entry.split) and entry.channels == 2
        ]
        if not chosen:
            raise ValueError(f"{name} has no dialogue of two channels with the split {split!r}: choose another --split")
        places += chosen[:limit]
    return places


def codec_of_stores(model: str, codec: str | None, places: "Sequence[Place]", device: str) -> "Mimi":
    """The codec that made the codes of dialogues.

    Args:
        model: whose voice it is to decode.
        codec: name of the codec; None: the one that the model was trained with.
        places: the dialogues.
        device: where to put it.

    Raises:
        ValueError: if it is not to be found, or made another store's codes.
    """
    from moshi_zoo.cli.load_codec import load_codec
    from moshi_zoo.runtime.pair import find_codec

    found = load_codec(codec or str(find_codec(model)), device)
    for store in {place.store.folder: place.store for place in places}.values():
        if store.codec.sha256 != found.config.sha256:
            raise ValueError(
                f"{store.folder} was made by another codec ({store.codec.name}) than {found.folder}: all would be "
                "noise. Name the codec that the model was trained with by --codec, and encode dialogues with it"
            )
    return found.net
