"""``data synth``: dialogues between a user and Moshi, spoken."""

from pathlib import Path
from typing import Literal

_MINUTES = 30.0


def synth(
    *,
    out: Path,
    minutes: float | None = None,
    dialogues: int | None = None,
    split: Literal["train", "valid", "test"] = "train",
    seed: int = 0,
    augmentation: Literal["none", "mild", "paper"] = "mild",
    user_recordings: str | None = None,
    noise: str | None = None,
) -> None:
    """Make synthetic dialogues with exact answers and word times, in moshi-finetune's format (needs moshi_zoo[synth]).

    Channel 0 is Moshi with one voice, channel 1 are users with many; users and exercises of valid and test are in no
    other split. What is there already is not made again: a run that was stopped goes on, and more can be added. Next:
    `data encode OUT`.

    Args:
        out: the folder: manifest.jsonl, and SPLIT/000000.wav with its words in 000000.json. All splits fit in one.
        minutes: how much to make; 30 if neither this nor --dialogues is given.
        dialogues: how many to make.
        split: whose voices and exercises.
        seed: another one makes other dialogues.
        augmentation: what is done to the user's channel: gain, noise, echo of Moshi and reverberation, by the paper's
            numbers (paper), so that a small model still hears what is said (mild), or none.
        user_recordings: manifest of single recorded digits, which then take the user's part: the user says digits, and
            Moshi counts on from one, and repeats several.
        noise: folder or manifest of noise recordings for the augmentation, those of the split or without one; hiss, if
            not given.
    """
    from moshi_zoo.data.dialogue_audio_corpus import Corpus, make

    corpus = Corpus(split, seed, augmentation, user_recordings, noise)
    if minutes is None and dialogues is None:
        minutes = _MINUTES
    amount = make(out, corpus, dialogues=dialogues, minutes=minutes)
    print(f"{out / 'manifest.jsonl'}: {amount.dialogues} {split} dialogues, {amount.seconds / 60:.1f} min")
