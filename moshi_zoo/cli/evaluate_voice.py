"""``evaluate voice``: has an adapter learnt a person's voice, and what has it forgotten?"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from moshi_zoo.cli.evaluation_dialogues import choose_dialogues, codec_of_stores
from moshi_zoo.cli.evaluation_run import OUT, about_model, command_line, run_facts, versions
from moshi_zoo.cli.load_moshi import load_moshi
from moshi_zoo.cli.stages import Stages
from moshi_zoo.cli.voice_recordings import choose_recordings

if TYPE_CHECKING:
    from torch import Tensor

    from moshi_zoo.cli.load_moshi import LoadedMoshi
    from moshi_zoo.data.dialogue_windows import Place
    from moshi_zoo.evaluation.answers import Answer
    from moshi_zoo.evaluation.duplex_audio import Ears
    from moshi_zoo.evaluation.voice_suite import VoiceReport
    from moshi_zoo.runtime.settings import TalkSettings

_PACKAGES = ("torch", "numpy", "soxr")
_BATCH = 32
_EXTRA_S = 2.5  # of the user's room tone after a dialogue
_EXAMPLE_S = 20


@dataclass(frozen=True)
class _Said:
    """What a model said to all users.

    Args:
        wav: its voice, [S].
        answers: in the inner monologue.
        words_heard: share of its words that a listener hears in the sound; None: nobody listens.
    """

    wav: "Tensor"
    answers: "list[Answer]"
    words_heard: float | None

    @property
    def right(self) -> float:
        """Share of the answers."""
        return sum(answer.right for answer in self.answers) / max(len(self.answers), 1)


def evaluate_voice(
    *,
    model: str,
    adapter: str,
    target: str,
    data: list[str],
    others: list[str] | None = None,
    codec: str | None = None,
    split: Literal["train", "valid", "test", "all"] = "valid",
    limit: int | None = 60,
    audio_temperature: float | None = None,
    listen: bool = False,
    out: Path | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> None:
    """Compare a Moshi's replies with a person's voice, and its answers with those that it gave before.

    Similarities are cosines of a speaker embedding that is learnt here, in a minute, from other speakers: read them
    beside their floor and ceiling. Writes results.json, report.md and what is said before and after.

    Args:
        model: name or folder of a Moshi.
        adapter: name or folder of the adapter: the voice.
        target: recordings of the person, which the adapter has not learnt from: a folder, or a manifest, of which the
            recordings marked as train are left out.
        data: stores of coded dialogues, made with its codec, whose users it talks to.
        others: manifests of other speakers, or `synthetic`, to learn the embedding from and as the floor; synthetic
            ones alone, if not given, tell real people apart badly.
        codec: that of the dialogues; it is looked for among what the model was made from, if not given.
        split: which of the dialogues.
        limit: the first so many of each store.
        audio_temperature: of codes; as its folder says of the model, if not given.
        listen: judge the words by their sound, too, with a listener that is made at first use (some minutes).
        out: the folder to write; runs/evaluations/ADAPTER/voice, if not given.
        device: where to compute, such as cpu or cuda.
        seed: of all draws.
    """
    command = command_line(evaluate_voice, "evaluate voice", locals())
    from moshi_zoo.evaluation import voice_suite
    from moshi_zoo.evaluation.codec import ZooCodec
    from moshi_zoo.evaluation.duplex_audio import Ears
    from moshi_zoo.evaluation.listener_training import cached_listener
    from moshi_zoo.evaluation.voice_suite import evaluate_voice as compare
    from moshi_zoo.modules.lora import DEFAULT, use_adapter
    from moshi_zoo.runtime.settings import TalkSettings
    from moshi_zoo.zoo import uri
    from moshi_zoo.zoo.adapters import load_adapter
    from moshi_zoo.zoo.config import read_config

    loaded = load_moshi(model, device)
    talk = TalkSettings(audio_temperature=audio_temperature, seed=seed).of(loaded.sampling)
    about = about_model(model, loaded.net, loaded.config, loaded.folder)
    folder = uri.resolve(adapter)
    load_adapter(loaded.net, folder, base=loaded.folder)
    places = choose_dialogues(data, split, limit=limit, model=loaded)
    mimi = ZooCodec(codec_of_stores(model, codec, places, device))
    with Stages() as stages:
        ears = Ears(mimi, cached_listener(tell=stages.begin) if listen else None, device=device)
        stages.begin("reading recordings")
        chosen = choose_recordings(target, others, mimi.sample_rate)
        stages.begin("learning to tell voices apart", len(chosen.learnt))
        voiceprint = voice_suite.learn_voiceprint(chosen.learnt, mimi, device=device, step=stages.step)
        stages.begin("talking without the adapter", len(places))
        use_adapter(loaded.net, None)
        before = _talk(loaded, places, ears, talk, stages.step)
        use_adapter(loaded.net, DEFAULT)
        stages.begin("talking with the adapter", len(places))
        after = _talk(loaded, places, ears, talk, stages.step)
        stages.begin("comparing")
        report = compare(
            *(voiceprint, mimi),
            target=chosen.target,
            others=chosen.floor,
            replies={"before": before.wav, "after": after.wav},
            base="before",
            device=device,
            seed=seed,
        )
    context = {
        "model": about,
        "adapter": {"path": adapter, "sha256": read_config(folder).sha256},
        "data": {
            "target": target,
            "recordings": len(chosen.target),
            "others": " ".join(others or ["synthetic"]),
            "dialogues": len(places),
            "split": split,
        },
        "run": run_facts(command, device),
        "versions": versions(*_PACKAGES),
    }
    out = out or OUT / (folder.parent.name if folder.name == "zoo" else folder.name) / "voice"
    _write(report, {"before": before, "after": after}, context, mimi.sample_rate, out)


def _talk(
    loaded: "LoadedMoshi", places: "list[Place]", ears: "Ears", settings: "TalkSettings", step: Callable[[], None]
) -> _Said:
    import torch

    from moshi_zoo.evaluation.answers import answers
    from moshi_zoo.evaluation.duplex_audio import WORDS_HEARD
    from moshi_zoo.evaluation.duplex_conversations import converse
    from moshi_zoo.evaluation.measurement import Value
    from moshi_zoo.evaluation.script import questions

    wavs: dict[str, Tensor] = {}
    judged: list[Answer] = []
    heard: list[Value] = []
    talks = converse(loaded.net, loaded.tokenizer, places, settings, extra_s=_EXTRA_S, batch_size=_BATCH)
    for talk in talks:
        own = answers(questions(talk.turns, talk.seconds), talk.said)
        sound = ears.said(talk, own)
        wavs[talk.name] = sound.wav
        judged += own
        heard.append(sound.measured.values.get(WORDS_HEARD, Value(0.0, 0.0)))
        step()
    num_words = sum(value.weight for value in heard)
    words_heard = sum(v.value * v.weight for v in heard if v.weight) / num_words if num_words else None
    return _Said(torch.cat([wavs[name] for name in sorted(wavs)]), judged, words_heard)


def _write(
    report: "VoiceReport", said: "dict[str, _Said]", context: "dict[str, dict]", sample_rate: int, out: Path
) -> None:
    from moshi_zoo.data import audio
    from moshi_zoo.evaluation.presentation import as_markdown_table, cell, figure_entry, listed, without_nan

    rows = [["", "similarity to the target", "of the way to the codec's ceiling", "right answers", "words heard"]]
    for name, figure in report.similarity.items():
        own = said.get(name)
        way = f"{report.reached[name]:.0%}" if name in report.reached else ""
        right = f"{own.right:.1%} of {len(own.answers)}" if own else ""
        rows.append(
            [name, cell(figure), way, right, "" if not own or own.words_heard is None else f"{own.words_heard:.1%}"]
        )
    closer = cell(report.closer["after"])
    text = "\n".join(
        [
            "# Voice",
            "",
            *(f"- {heading}: {listed(entries)}" for heading, entries in context.items()),
            f"- embedding: learnt from {report.voiceprint_speakers} speakers; intervals of 95 % by resampling",
            "",
            as_markdown_table(rows),
            "",
            f"Stretches of the replies that are closer to the target than to the voice before: {closer}",
        ]
    )
    content = {
        "suite": "voice",
        **context,
        "similarity": {name: figure_entry(figure) for name, figure in report.similarity.items()},
        "reached": report.reached,
        "closer": {name: figure_entry(figure) for name, figure in report.closer.items()},
        "answers_right": {name: own.right for name, own in said.items()},
        "answers": len(said["before"].answers),
        "words_heard": {name: own.words_heard for name, own in said.items()},
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(without_nan(content), indent=1) + "\n", encoding="utf-8")
    (out / "report.md").write_text(text + "\n", encoding="utf-8")
    for name, own in said.items():
        audio.save(out / f"{name}.wav", own.wav[None, : _EXAMPLE_S * sample_rate], sample_rate)
    print(text)
    print(f"written to {out}")
