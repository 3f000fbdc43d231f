"""The verb ``evaluate``: metrics of a model with confidence intervals, as JSON, tables and pictures."""

import inspect
import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from moshi_zoo.cli.load_codec import load_codec

if TYPE_CHECKING:
    from moshi_zoo.cli.evaluation_data import Chosen
    from moshi_zoo.evaluation.codec import ZooCodec
    from moshi_zoo.evaluation.codec_suite import CodecReport
    from moshi_zoo.evaluation.recogniser import Example

_OUT = Path("runs/evaluations")
_PACKAGES = ("torch", "torchmetrics", "pystoi", "pesq", "numpy", "soxr")


def evaluate(
    suite: Literal["codec"],
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
        suite: what to evaluate.
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
    command = _command(locals())
    from moshi_zoo.cli import evaluation_data
    from moshi_zoo.evaluation.codec_suite import Settings, complete, evaluate_codec
    from moshi_zoo.evaluation.recogniser import train_recogniser

    if max_seconds <= 0 or max_triples < 1:
        raise ValueError(f"max_seconds ({max_seconds:g}) and max_triples ({max_triples}) must be positive")
    settings = Settings(_levels(num_codebooks), max_triples=max_triples, seed=seed)
    codec, about = _load_codec(model, device)
    settings = complete(settings, codec)
    out = out or _OUT / about["name"] / suite
    chosen = evaluation_data.choose(data, split, max_items=max_items, seed=seed, report=out / "bad_files.jsonl")
    settings = replace(settings, max_hz=evaluation_data.highest_hz(chosen.recordings, codec.sample_rate))
    words = _words_to_learn(recogniser_data, chosen, codec.sample_rate, seed) if recogniser_data else []
    with _Stages() as stages:
        if words:
            stages.begin(f"training the recogniser on {len(words)} words")
        recogniser = train_recogniser(words, codec.sample_rate, seed=seed, device=device) if words else None
        stages.begin("coding and measuring", len(chosen.recordings))
        clips = evaluation_data.clips(
            chosen, codec.sample_rate, labels=labels, max_seconds=max_seconds, step=stages.step
        )
        report = evaluate_codec(codec, clips, settings, device=device, recogniser=recogniser, tell=stages.begin)
    about_data = {
        "source": data,
        "split": chosen.split,
        "clips": len(report.clips),
        "bad": len(chosen.bad.files),
        "recogniser": recogniser_data,
    }
    _write(report, {"model": about, "data": about_data, "run": _run(command, device), "versions": _versions()}, out)


class _Stages:
    """What is going on: a bar on a terminal, a line for each stage elsewhere."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._on_terminal = sys.stderr.isatty()
        self._progress = Progress(console=Console(stderr=True), disable=not self._on_terminal, transient=True)
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> "_Stages":
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def begin(self, what: str, total: int | None = None) -> None:
        """A new stage; without a total its length is not known."""
        self._progress.remove_task(self._task)
        self._task = self._progress.add_task(what, total=total)
        if not self._on_terminal:
            print(what, file=sys.stderr, flush=True)

    def step(self) -> None:
        """One more is done."""
        self._progress.advance(self._task)


def _levels(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(",")) if text else ()
    except ValueError:
        raise ValueError(f"num_codebooks is {text!r}; give numbers with commas between them, such as 1,2,8") from None


def _load_codec(name: str, device: str) -> "tuple[ZooCodec, dict[str, Any]]":
    from moshi_zoo.evaluation.codec import ZooCodec

    loaded = load_codec(name, device)
    net, config, path = loaded.net, loaded.config, loaded.folder
    return ZooCodec(net), {
        "name": path.parent.name if path.name == "zoo" else path.name,
        "path": name,
        "component": config.component,
        "parameters": sum(p.numel() for p in net.parameters()),
        "sha256": config.sha256,
        "stage": config.stage,
    }


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


def _command(arguments: Mapping[str, Any]) -> str:
    """The command line that gives these arguments, without those that are the defaults."""
    defaults = {name: parameter.default for name, parameter in inspect.signature(evaluate).parameters.items()}
    words = ["python", "-m", "moshi_zoo", "evaluate", arguments["suite"]]
    for name, value in arguments.items():
        if name != "suite" and value != defaults[name]:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def _run(command: str, device: str) -> dict[str, Any]:
    import torch

    where = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return {"command": command, "created": created, "device": where, "threads": torch.get_num_threads()}


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    from moshi_zoo import __version__

    versions = {"moshi_zoo": __version__, "python": sys.version.split()[0]}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
