"""``evaluate duplex``: conversations with held-out users, measured with confidence intervals."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from moshi_zoo.cli.evaluation_dialogues import choose_dialogues, codec_of_stores
from moshi_zoo.cli.evaluation_run import OUT, about_model, command_line, run_facts, versions
from moshi_zoo.cli.load_moshi import load_moshi
from moshi_zoo.cli.stages import Stages

if TYPE_CHECKING:
    from moshi_zoo.data.dialogue_windows import Place
    from moshi_zoo.evaluation.duplex_audio import Ears
    from moshi_zoo.evaluation.duplex_suite import DuplexReport
    from moshi_zoo.evaluation.presentation import Context
    from moshi_zoo.models.moshi import Moshi

_PACKAGES = ("torch", "numpy", "sentencepiece")


def evaluate_duplex(
    *,
    model: str,
    data: list[str],
    codec: str | None = None,
    measure: Literal["all", "text"] = "all",
    split: Literal["train", "valid", "test", "all"] = "valid",
    limit: int | None = None,
    text_temperature: float | None = None,
    text_top_k: int = 25,
    audio_temperature: float | None = None,
    audio_top_k: int = 250,
    padding_bonus: float = 0.0,
    monologue: bool = True,
    extra_seconds: float = 2.5,
    batch_size: int = 32,
    out: Path | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> None:
    """Let a Moshi talk to the users of held-out dialogues, and measure answers, turn-taking and sound.

    The sound is judged by a listener that is made at first use (some minutes on one core). Writes results.json,
    report.md, pictures, and ten conversations to be heard: Moshi left, the user right.

    Args:
        model: name or folder of a Moshi.
        data: stores of coded dialogues, made with its codec.
        codec: that codec; it is looked for among what the model was made from, if not given.
        measure: everything, or only what the text shows, which is several times faster.
        split: which of their dialogues.
        limit: the first so many of each store; all, if not given.
        text_temperature: of text; the likeliest (0) hardly ever begins to speak. As its folder says of the model, if
            not given.
        text_top_k: text is drawn among so many tokens.
        audio_temperature: of codes, likewise.
        audio_top_k: codes are drawn among so many.
        padding_bonus: added to PAD's logit: above 0, Moshi says less.
        monologue: false for a model that has learnt without text: it then writes none.
        extra_seconds: the user's room tone after each dialogue, so that late answers are heard.
        batch_size: conversations at once.
        out: the folder to write; runs/evaluations/MODEL/duplex, if not given.
        device: where to compute, such as cpu or cuda.
        seed: of all draws.
    """
    command = command_line(evaluate_duplex, "evaluate duplex", locals())
    from moshi_zoo.evaluation import duplex_suite
    from moshi_zoo.evaluation.duplex_suite import DuplexSettings
    from moshi_zoo.runtime.settings import TalkSettings

    if batch_size < 1 or extra_seconds < 0:
        raise ValueError(f"batch_size ({batch_size}) must be 1 or more, extra_seconds ({extra_seconds}) not negative")
    talk = TalkSettings(text_temperature, text_top_k, audio_temperature, audio_top_k, padding_bonus, seed)
    loaded = load_moshi(model, device)
    settings = DuplexSettings(talk.of(loaded.sampling), extra_seconds, batch_size, monologue)
    places = choose_dialogues(data, split, limit=limit, model=loaded)
    about = about_model(model, loaded.net, loaded.config, loaded.folder)
    out = out or OUT / about["name"] / "duplex"
    with Stages() as stages:
        ears = _ears(model, codec, places, device, stages) if measure == "all" else None
        report = duplex_suite.evaluate_duplex(
            *(loaded.net, loaded.tokenizer, places, settings),
            ears=ears,
            tell=stages.begin,
            step=stages.step,
        )
    about_data = {"stores": " ".join(data), "split": split, "dialogues": len(places)}
    context = {
        "model": about,
        "data": about_data,
        "run": run_facts(command, device),
        "versions": versions(*_PACKAGES),
    }
    _write(report, context, loaded.net, ears.codec.sample_rate if ears else None, out)


def _ears(model: str, codec: str | None, places: "list[Place]", device: str, stages: Stages) -> "Ears":
    from moshi_zoo.data.dialogue_audio_voices import MOSHI, SyntheticTalker
    from moshi_zoo.data.espeak import Engine
    from moshi_zoo.evaluation.codec import ZooCodec
    from moshi_zoo.evaluation.duplex_audio import Ears
    from moshi_zoo.evaluation.listener_training import cached_listener

    mimi = codec_of_stores(model, codec, places, device)
    listener = cached_listener(tell=stages.begin)
    return Ears(ZooCodec(mimi), listener, moshi=SyntheticTalker(Engine(), MOSHI), device=device)


def _write(report: "DuplexReport", context: "Context", moshi: "Moshi", sample_rate: int | None, out: Path) -> None:
    from moshi_zoo.data import audio
    from moshi_zoo.evaluation import duplex_report

    text = duplex_report.as_markdown(report, context)
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(duplex_report.as_json(report, context) + "\n", encoding="utf-8")
    (out / "report.md").write_text(text, encoding="utf-8")
    duplex_report.write_pictures(report, moshi, out)
    for name, stereo in duplex_report.examples(report).items():
        assert sample_rate is not None
        audio.save(out / f"{name}.wav", stereo, sample_rate)
    print(text)
    print(f"written to {out}")
