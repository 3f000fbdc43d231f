"""``evaluate codec``: metrics of a codec with confidence intervals, as JSON, tables and pictures."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from moshi_zoo.cli.evaluation_run import OUT, about_model, command_line, run_facts, versions
from moshi_zoo.cli.load_codec import load_codec
from moshi_zoo.cli.stages import Stages

if TYPE_CHECKING:
    from moshi_zoo.cli.evaluation_data import Chosen
    from moshi_zoo.evaluation.codec import ZooCodec
    from moshi_zoo.evaluation.codec_suite import CodecReport
    from moshi_zoo.evaluation.recogniser import Example

_PACKAGES = ("torch", "torchmetrics", "pystoi", "pesq", "numpy", "soxr")


def evaluate_codec(
    *,
    model: str,
    data: str,
    split: Literal["train", "valid", "test", "all"] = "test",
    num_codebooks: str | None = None,
    labels: Literal["words", "phonemes"] = "words",
    recogniser_data: str | None = None,
    max_items: int | None = None,
    max_seconds: float = 30.0,
    max_triples: int = 20_000,
    out: Path | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> None:
    """Measure a codec on recordings: quality, use of the codebooks, idempotence, ABX, speed.

    Writes results.json, report.md, pictures and sounds.

    Args:
        model: name or folder of a codec.
        data: a manifest.jsonl, a folder of recordings, an audio file, or `synthetic`.
        split: which recordings of a manifest; all of them where none are marked.
        num_codebooks: decode from so many codebooks each, such as 1,4, and from all; 1,2,4 ... if not given.
        labels: which labelled stretches of the manifest ABX compares.
        recogniser_data: recordings of single words to train a recogniser on, which then judges the codec's output.
        max_items: evaluate so many recordings, drawn at random; all, if not given.
        max_seconds: longer recordings are cut.
        max_triples: most triples of each kind of ABX.
        out: the folder to write; runs/evaluations/MODEL/codec, if not given.
        device: where to compute, such as cpu or cuda.
        seed: of all draws.
    """
    command = command_line(evaluate_codec, "evaluate codec", locals())
    from moshi_zoo.cli import evaluation_data
    from moshi_zoo.evaluation import codec_suite
    from moshi_zoo.evaluation.codec_suite import Settings, complete
    from moshi_zoo.evaluation.recogniser import train_recogniser

    if max_seconds <= 0 or max_triples < 1:
        raise ValueError(f"max_seconds ({max_seconds:g}) and max_triples ({max_triples}) must be positive")
    settings = Settings(_levels(num_codebooks), max_triples=max_triples, seed=seed)
    codec, about = _load_codec(model, device)
    settings = complete(settings, codec)
    out = out or OUT / about["name"] / "codec"
    chosen = evaluation_data.choose(data, split, max_items=max_items, seed=seed, report=out / "bad_files.jsonl")
    settings = replace(settings, max_hz=evaluation_data.highest_hz(chosen.recordings, codec.sample_rate))
    words = _words_to_learn(recogniser_data, chosen, codec.sample_rate, seed) if recogniser_data else []
    with Stages() as stages:
        if words:
            stages.begin(f"training the recogniser on {len(words)} words")
        recogniser = train_recogniser(words, codec.sample_rate, seed=seed, device=device) if words else None
        stages.begin("coding and measuring", len(chosen.recordings))
        clips = evaluation_data.clips(
            chosen, codec.sample_rate, labels=labels, max_seconds=max_seconds, step=stages.step
        )
        report = codec_suite.evaluate_codec(
            codec, clips, settings, device=device, recogniser=recogniser, tell=stages.begin
        )
    about_data = {
        "source": data,
        "split": chosen.split,
        "clips": len(report.clips),
        "bad": len(chosen.bad.files),
        "recogniser": recogniser_data,
    }
    _write(
        report,
        {"model": about, "data": about_data, "run": run_facts(command, device), "versions": versions(*_PACKAGES)},
        out,
    )


def _levels(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(",")) if text else ()
    except ValueError:
        raise ValueError(f"num_codebooks is {text!r}; give numbers with commas between them, such as 1,2,8") from None


def _load_codec(name: str, device: str) -> "tuple[ZooCodec, dict[str, Any]]":
    from moshi_zoo.evaluation.codec import ZooCodec

    loaded = load_codec(name, device)
    return ZooCodec(loaded.net), about_model(name, loaded.net, loaded.config, loaded.folder)


def _words_to_learn(source: str, judged: "Chosen", sample_rate: int, seed: int) -> "list[Example]":
    """The train split of a recogniser's data, without the clips that it is to judge."""
    from moshi_zoo.cli import evaluation_data

    own = {recording.path for recording in judged.recordings}
    chosen = evaluation_data.choose(source, "train", max_items=None, seed=seed)
    return evaluation_data.examples([r for r in chosen.recordings if r.path not in own], sample_rate)


def _write(report: "CodecReport", context: Mapping[str, Mapping[str, Any]], out: Path) -> None:
    from moshi_zoo.data import audio
    from moshi_zoo.evaluation import report as reports

    text = reports.as_markdown(report, context)
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(reports.as_json(report, context) + "\n", encoding="utf-8")
    (out / "report.md").write_text(text, encoding="utf-8")
    reports.write_pictures(report, out)
    sample_rate = int(report.codec["sample_rate"])
    for i, sounds in enumerate(report.sounds):
        audio.save(out / f"{i}_original.wav", sounds.original[None], sample_rate)
        for k, wav in sounds.decoded.items():
            audio.save(out / f"{i}_{k:02d}_codebooks.wav", wav[None], sample_rate)
    print(text)
    print(f"written to {out}")
