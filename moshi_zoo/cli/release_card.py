"""What the card of a released model says beside its config: what a person, its runs and its evaluations know of it."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from moshi_zoo.cli.release_facts import Facts, Figures

if TYPE_CHECKING:
    from moshi_zoo.zoo.lineage import Ancestor

_USES = {
    "mimi": (
        "encode speech.wav --model {name} --out codes.safetensors",
        "decode codes.safetensors --model {name} --out heard.wav",
    ),
    "helium": ('generate --model {name} --prompt "user: what comes after seven?"',),
    "moshi": (
        "serve --model {name}",
        "talk question.wav --model {name} --out reply.wav",
        "transcribe speech.wav --model {name}",
        'speak "one two three" --model {name} --out speech.wav',
    ),
    "lora": ("talk question.wav --model {base} --voice {name} --out reply.wav", "serve --model {base} --voice {name}"),
}


def card_notes(
    name: str, model: "Ancestor", facts: Facts, *, released: Collection[str], sha256: str, parent: str
) -> str:
    """The sections of the card.

    Args:
        name: of the release.
        model: with its lineage.
        facts: of it.
        released: sha256s of the models that have cards of their own.
        sha256: of the release's weights.
        parent: name of the release's first parent, if it has one.

    Raises:
        ValueError: if figures are those of another model.
    """
    from moshi_zoo.evaluation.presentation import as_markdown_table
    from moshi_zoo.zoo import history

    assert model.config is not None
    uses = [use.format(name=name, base=parent) for use in _USES.get(model.config.component, ())]
    steps = [["run", "by", "steps", "best validation"]]
    steps += [[s.name, s.stage, str(s.steps or "?"), s.score] for s in history.history(model, set(released))]
    parts = [
        facts.about,
        _block([f"python -m moshi_zoo {use}" for use in uses]),
        "## Limits",
        facts.limits,
        "## Data",
        "\n".join(f"- {line}" for line in facts.data),
        "## Training",
        f"{facts.minutes:g} minutes on {facts.hardware}.",
        _block([history.without_places(command) for command in facts.commands]),
        as_markdown_table(steps),
    ]
    if found := history.recipe(model):
        summary = "The recipe of the last run, everything filled in"
        parts += [f"<details><summary>{summary}</summary>\n\n```yaml\n{found}```\n\n</details>"]
    if facts.figures:
        parts += ["## Figures", "In brackets 95 % intervals, then what they come from."]
        parts += [_measured(figures, {model.sha256: "before rounding", sha256: ""}) for figures in facts.figures]
    return "\n\n".join(part.strip() for part in parts if part)


def _measured(figures: Figures, weights: Mapping[str, str]) -> str:
    from moshi_zoo.evaluation.highlights import highlights
    from moshi_zoo.zoo.history import without_places

    found = highlights(figures.results, figures.measures)
    if not (known := found.sha256s & weights.keys()):
        measured, own = (" or ".join(f"{one[:12]}…" for one in some) for some in (found.sha256s, weights))
        raise ValueError(f"{figures.results} measured the weights {measured}, but this model's are {own}: evaluate it")
    when = weights[next(iter(known))]
    return f"{_block([without_places(found.command) + (f'  # {when}' if when else '')])}\n\n{found.markdown}"


def _block(lines: list[str]) -> str:
    return "```bash\n" + "\n".join(lines) + "\n```"
