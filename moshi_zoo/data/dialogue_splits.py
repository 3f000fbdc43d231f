"""Which dialogues of stores train, validate and test: as they are marked, or else by lot."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from moshi_zoo.data.code_store import CodeStore
from moshi_zoo.data.dialogue_windows import Place


@dataclass(frozen=True)
class DialogueSplits:
    """The dialogues of each split.

    Args:
        train: For each source.
        valid: One at least.
        test: Those marked so; there may be none.
    """

    train: list[list[Place]]
    valid: list[Place]
    test: list[Place]


def divide(
    stores: Mapping[str, CodeStore], *, valid_store: CodeStore | None, validation_share: float
) -> DialogueSplits:
    """Divide dialogues.

    Args:
        stores: To train on, by name.
        valid_store: To validate on. None: what is marked in the others; where nothing is, some are held out.
        validation_share: Share of the dialogues to hold out then.

    Raises:
        ValueError: if a store is empty, or a dialogue would have to do both.
    """
    named = {**stores, **({str(valid_store.folder): valid_store} if valid_store else {})}
    for name, store in named.items():
        if not store.entries:
            raise ValueError(f"{name} has no dialogues: run `data encode` to its end")
    training = [_marked([store], "train") for store in stores.values()]
    if valid_store:
        everything = [Place(valid_store, i) for i in range(len(valid_store.entries))]
        return DialogueSplits(training, _marked([valid_store], "valid") or everything, _marked([valid_store], "test"))
    valid, test = _marked(stores.values(), "valid"), _marked(stores.values(), "test")
    if not valid and not test:
        training, valid = _hold_out(training, validation_share)
    return DialogueSplits(training, valid or test, test)


def _marked(stores: Iterable[CodeStore], split: str) -> list[Place]:
    return [
        Place(store, number)
        for store in stores
        for number, entry in enumerate(store.entries)
        if (entry.split or "train") == split
    ]


def _hold_out(sources: list[list[Place]], share: float) -> tuple[list[list[Place]], list[Place]]:
    """The dialogues with the lowest lots, one at least; versions of one dialogue in several stores go together."""
    wanted = max(round(share * sum(map(len, sources))), 1)
    lots = {place: _lot(place) for places in sources for place in places}
    chosen: set[bytes] = set()
    held: list[Place] = []
    for lot in sorted(set(lots.values())):
        if len(held) >= wanted:
            break
        if all(any(lots[place] not in {*chosen, lot} for place in places) for places in sources):  # all keep some
            chosen.add(lot)
            held += [place for place in lots if lots[place] == lot]
    if not held:
        raise ValueError("one dialogue cannot both train and validate: give valid_source, or more dialogues")
    return [[place for place in places if lots[place] not in chosen] for places in sources], held


def _lot(place: Place) -> bytes:
    path = Path(place.store.entries[place.number].path.partition("#")[0])  # copies of a recording stay together
    return hashlib.sha256("/".join(path.parts[-2:]).encode()).digest()  # the same lot wherever the folder lies
