"""``data synth``: dialogues between a user and Moshi, spoken, and encoded if wanted."""

import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from moshi_zoo.cli.aside import say_aside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from moshi_zoo.data.code_encoding import Start
    from moshi_zoo.data.dialogue_code_corpus import Goal
    from moshi_zoo.data.dialogue_code_corpus import Progress as Made

_MINUTES = 30.0
_SECONDS = 30.0  # between lines of progress where there is no terminal


def synth(
    *,
    out: Path,
    codec: str | None = None,
    minutes: float | None = None,
    dialogues: int | None = None,
    split: Literal["train", "valid", "test"] = "train",
    seed: int = 0,
    augmentation: Literal["none", "mild", "paper"] = "mild",
    user_recordings: str | None = None,
    digit_share: float = 0.0,
    families: str | None = None,
    noise: str | None = None,
    reply_s: float = 0.24,
    view: Literal["recorded", "mono"] = "recorded",
    num_codebooks: int | None = None,
    processes: int | None = None,
    device: str = "cpu",
) -> None:
    """Make synthetic dialogues with exact answers and word times (needs moshi_zoo[synth]).

    Channel 0 is Moshi with one voice, channel 1 are users with many; users and exercises of valid and test are in no
    other split. What is there already is not made again: a run that was stopped goes on, and more can be added. All
    splits fit in one place. Without a codec, files in moshi-finetune's format come out, which are large: 6 MB a minute.
    With one, they are encoded at once, and a store comes out that `fit` trains Moshi on.

    Args:
        out: with --codec the store, a folder; else a folder of files: manifest.jsonl, and SPLIT/000000.wav with its
            words in 000000.json.
        codec: name or folder of the codec that encodes the dialogues.
        minutes: how much to make; 30 if neither this nor --dialogues is given.
        dialogues: how many to make.
        split: whose voices and exercises.
        seed: another one makes other dialogues.
        augmentation: what is done to the user's channel: gain, noise, echo of Moshi and reverberation, by the paper's
            numbers (paper), so that a small model still hears what is said (mild), or none.
        user_recordings: manifests of recordings that take the user's part, each with its share of the dialogues, such
            as digits.jsonl:0.2,readings.jsonl:0.1; without a share, of all. With single recorded digits the user says
            digits, and Moshi counts on from one, and repeats several; with recorded sentences the user reads phrases,
            and Moshi says the last word of each.
        digit_share: share of the other dialogues in which synthetic users say nothing but digits, as recorded ones do.
        families: what the dialogues of synthetic users are about, such as "opposites,small talk"; everything, if not
            given.
        noise: folder or manifest of noise recordings for the augmentation, those of the split or without one; hiss, if
            not given.
        reply_s: time that Moshi takes to reply, in the mean; a model that writes down what it hears needs 0.6.
        view: with --codec, encode the channels as they are (recorded), or both speakers mixed into one (mono).
        num_codebooks: with --codec, codes a frame; all the codec has, if not given.
        processes: with --codec, how many speak and encode side by side; as many as there are cores, if not given.
        device: with --codec, where it computes, such as cpu or cuda.
    """
    from moshi_zoo.data.dialogue_corpus import Corpus

    corpus = Corpus(split, seed, augmentation, user_recordings, digit_share, families, noise, reply_s)
    if minutes is None and dialogues is None:
        minutes = _MINUTES
    if codec is None:
        if view != "recorded":
            raise ValueError("files keep both channels: give --codec to encode both speakers mixed into one")
        from moshi_zoo.data.dialogue_audio_corpus import make

        amount = make(out, corpus, dialogues=dialogues, minutes=minutes)
        print(f"{out / 'manifest.jsonl'}: {amount.dialogues} {split} dialogues, {amount.seconds / 60:.1f} min")
        return
    if processes is not None and processes < 1:
        raise ValueError(f"processes is {processes}; it must be 1 or more")

    from moshi_zoo.cli.data_encode import identity_of
    from moshi_zoo.cli.load_codec import load_codec
    from moshi_zoo.data.code_store import CodeStoreWriter
    from moshi_zoo.data.dialogue_code_corpus import Goal, fill

    goal = Goal(dialogues, minutes)
    loaded = load_codec(codec, device)
    identity = identity_of(loaded, codec, num_codebooks)
    writer = CodeStoreWriter(out, identity)
    open_codec = partial(_opened, str(loaded.folder), identity.num_codebooks, device)
    steps = fill(writer, corpus, open_codec, goal, view=view, processes=processes or _num_cores())
    made = _shown(steps, split, goal)
    new = f"{made.made} of them new" if made.made else "all were there"
    print(
        f"{out}: {made.dialogues} {split} dialogues, {made.seconds / 60:.1f} min, {new}; "
        f"{identity.num_codebooks} codebooks of {identity.codebook_size} at {identity.frame_rate:g} Hz"
    )


def _shown(steps: "Iterator[Made]", split: str, goal: "Goal") -> "Made":
    """Show how far it is, and how fast it goes; returns the last step."""
    from rich.console import Console
    from rich.progress import Progress

    from moshi_zoo.data.dialogue_code_corpus import Progress as Made

    console = Console(stderr=True)
    made, began, line_at = Made(), time.monotonic(), time.monotonic() + _SECONDS
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=goal.dialogues or (goal.minutes or 0) * 60)
        for made in steps:
            rate = made.made / (time.monotonic() - began)
            line = f"{made.dialogues} {split} dialogues, {rate:.1f} a second"
            progress.update(task, completed=made.dialogues if goal.dialogues else made.seconds, description=line)
            if not console.is_terminal and time.monotonic() > line_at:
                say_aside(line)
                line_at += _SECONDS
    return made


def _num_cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _opened(folder: str, num_codebooks: int, device: str) -> "Start":
    """The codec, in the process that calls this."""
    from moshi_zoo.cli.data_encode import streams
    from moshi_zoo.cli.load_codec import load_codec

    return streams(load_codec(folder, device), num_codebooks, device)
