"""The verb ``release``: a trained model as a folder to hand on."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from moshi_zoo.zoo.config import ZooConfig


def release(
    name_or_dir: str,
    *,
    out: Path,
    licence: str,
    facts: Path,
    precision: Literal["same", "float32", "float16", "bfloat16"] = "same",
    instead: list[str] | None = None,
) -> None:
    """Write a model as a zoo folder for others: rounded, with a licence and a full model card.

    Release the models of a chain in the order in which they were made, each with --instead for those before it. Its
    parents are then these releases, whatever runs lay between. Figures must be those of this model, or of its release:
    release it without them, evaluate that, and release it again; its weights stay the same to the bit.

    Args:
        name_or_dir: name, run or folder of the model.
        out: the zoo folder to write, such as checkpoints/moshi-nano; its name is the model's.
        licence: SPDX name; that of the data and of the models it was made from has a say in it.
        facts: YAML file of what only you know; about, limits, data, commands, hardware, minutes, and figures, a list of
            {results, measures}, a folder that an evaluation has written and the names of what to show; and sampling,
            {text_temperature, audio_temperature}, at which a Moshi talks best, unless the model says it.
        precision: of the weights; float16 takes half the bytes and is loaded as float32.
        instead: MODEL=RELEASE for each ancestor that has been released.
    """
    from moshi_zoo.cli.release_card import card_notes
    from moshi_zoo.cli.release_facts import read_facts
    from moshi_zoo.zoo import lineage
    from moshi_zoo.zoo import release as releases

    said = read_facts(facts)
    model = lineage.trace(name_or_dir)
    assert model.folder is not None
    stand_ins = releases.stand_ins(instead or [])

    def notes(config: "ZooConfig") -> str:
        parent = config.parents[0].name if config.parents else ""
        return card_notes(out.name, model, said, released=stand_ins, sha256=config.sha256, parent=parent)

    config = releases.release(
        model.folder,
        out,
        licence=licence,
        parents=releases.known_parents(model, stand_ins),
        precision=precision,
        sampling=said.sampling,
        notes=notes,
    )
    size = sum(file.stat().st_size for file in out.iterdir()) / 1e6
    print(f"{out}: {config.component}, {size:.1f} MB, licence {config.licence}, sha256 {config.sha256[:12]}…")
    for parent in config.parents:
        print(f"  made from {parent.name} ({parent.sha256[:12]}…)")
