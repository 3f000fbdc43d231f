"""``data replay``: what a Moshi says of its own accord, kept to be trained on again beside something new."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from moshi_zoo.cli.evaluation_dialogues import choose_dialogues
from moshi_zoo.cli.load_moshi import load_moshi

if TYPE_CHECKING:
    from moshi_zoo.cli.load_moshi import LoadedMoshi
    from moshi_zoo.data.code_store import CodedDialogue
    from moshi_zoo.data.dialogue_windows import Place

_SHARD = 64  # dialogues; a run that is stopped loses what is not yet written


def replay(
    source: list[str],
    *,
    model: str,
    out: Path,
    split: Literal["train", "valid", "test", "all"] = "train",
    limit: int | None = None,
    keep_voice: bool = False,
    batch_size: int = 16,
    device: str = "cpu",
    seed: int = 0,
) -> None:
    """Let a Moshi answer the users of coded dialogues, and keep its words: against forgetting.

    Who learns a voice trains on these dialogues too (--data.source voice:0.5,OUT:0.5). Moshi's codes are left out of
    them: what it says and when stays as it was, and nothing pulls the new voice back to the old one.

    Args:
        source: stores of coded dialogues with two channels.
        model: name or folder of the Moshi as it is before.
        out: the store to write, a folder that is not there yet.
        split: whose users.
        limit: the first so many dialogues of each store.
        keep_voice: keep the codes of its voice, too: for `data revoice`.
        batch_size: dialogues at a time.
        device: where to compute, such as cpu or cuda.
        seed: of all draws.
    """
    from rich.console import Console
    from rich.progress import Progress

    from moshi_zoo.data.code_store import CodeStoreWriter

    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it must be 1 or more")
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty: give another folder")
    loaded = load_moshi(model, device)
    places = choose_dialogues(source, split, limit=limit, model=loaded)
    codecs = {place.store.codec.sha256 for place in places}
    if len(codecs) > 1:
        raise ValueError(f"the stores {', '.join(source)} are of {len(codecs)} codecs: replay those of one")
    writer = CodeStoreWriter(out, places[0].store.codec)
    num_words, num_frames, shard = 0, 0, []
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        answered = _answered(loaded, places, batch_size, seed, keep_voice=keep_voice)
        for dialogue in progress.track(answered, total=len(places), description="talking"):
            shard.append(dialogue)
            num_words += dialogue.entry.num_words or 0
            num_frames += dialogue.entry.num_frames
            if len(shard) == _SHARD:
                writer.write_shard(shard)
                shard = []
    if shard:
        writer.write_shard(shard)
    minutes = num_frames / writer.codec.frame_rate / 60
    print(f"{out}: {len(places)} dialogues ({minutes:.1f} min), {num_words} words of Moshi and the users")


def _answered(
    loaded: "LoadedMoshi", places: "Sequence[Place]", batch_size: int, seed: int, *, keep_voice: bool
) -> "Iterator[CodedDialogue]":
    import torch

    from moshi_zoo.data.alignments import MAIN, Word
    from moshi_zoo.data.code_store import CodedDialogue, Entry
    from moshi_zoo.data.text_row import NOTHING
    from moshi_zoo.evaluation.duplex_conversations import converse
    from moshi_zoo.runtime.settings import TalkSettings

    by_name = {_name(place): place for place in places}
    settings = TalkSettings(seed=seed).of(loaded.sampling)
    talks = converse(loaded.net, loaded.tokenizer, places, settings, extra_s=0.0, batch_size=batch_size)
    for talk in talks:
        place = by_name[talk.name]
        frame = 1 / talk.frame_rate
        own = [Word(word.text, word.start_s, word.start_s + frame, MAIN) for word in talk.said]
        words = sorted([*own, *talk.user_words], key=lambda word: word.start_s)
        users = place.store.codes(place.number)[1]  # [K, T]
        voice = torch.full_like(users, NOTHING)
        if keep_voice:
            voice[: len(talk.codes)] = talk.codes
        entry = Entry(talk.name, 0, 2, users.shape[1], "train", len(words))
        yield CodedDialogue(entry, torch.stack([voice, users]), words)


def _name(place: "Place") -> str:
    from moshi_zoo.evaluation.duplex_conversations import name_of

    return name_of(place)
