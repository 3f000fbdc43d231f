"""``evaluate asr``: what a Moshi writes down of held-out users, measured with confidence intervals."""

from pathlib import Path
from typing import Literal

from moshi_zoo.cli.evaluation_dialogues import choose_dialogues
from moshi_zoo.cli.evaluation_run import OUT, about_model, command_line, run_facts, versions
from moshi_zoo.cli.load_moshi import load_moshi
from moshi_zoo.cli.stages import Stages

_PACKAGES = ("torch", "numpy", "sentencepiece")


def evaluate_asr(
    *,
    model: str,
    data: list[str],
    split: Literal["train", "valid", "test", "all"] = "valid",
    limit: int | None = None,
    text_delay: float | None = None,
    temperature: float = 0.0,
    batch_size: int = 32,
    out: Path | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> None:
    """Let a Moshi write down what the users of held-out dialogues say: word and digit errors, delay.

    Streams the users' codes. Writes results.json and report.md.

    Args:
        model: name or folder of a Moshi that was trained to listen (mode asr).
        data: stores of coded dialogues, made with its codec.
        split: which of their dialogues.
        limit: the first so many of each store; all, if not given.
        text_delay: how long after its sound it writes a word, in seconds; as in its training, if not given.
        temperature: of the text; 0 takes the likeliest.
        batch_size: streams at once.
        out: the folder to write; runs/evaluations/MODEL/asr, if not given.
        device: where to compute, such as cpu or cuda.
        seed: of all draws.
    """
    command = command_line(evaluate_asr, "evaluate asr", locals())
    from moshi_zoo.evaluation import asr_suite, speech_report
    from moshi_zoo.evaluation.asr_suite import AsrSettings
    from moshi_zoo.runtime.conversations import Conversations

    loaded = load_moshi(model, device)
    learnt = -loaded.config.text_layout.delay_s("asr")
    settings = AsrSettings(learnt if text_delay is None else text_delay, temperature, batch_size, seed=seed)
    places = choose_dialogues(data, split, limit=limit, model=loaded)
    about = about_model(model, loaded.net, loaded.config, loaded.folder)
    out = out or OUT / about["name"] / "asr"
    rows = Conversations(loaded.net, None, loaded.tokenizer, max_sessions=min(batch_size, len(places)))
    with Stages() as stages:
        report = asr_suite.evaluate_asr(rows, places, settings, tell=stages.begin, step=stages.step)
    context = {
        "model": about,
        "data": {"stores": " ".join(data), "split": split, "dialogues": len(places)},
        "run": run_facts(command, device),
        "versions": versions(*_PACKAGES),
    }
    text = speech_report.asr_as_markdown(report, context)
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(speech_report.asr_as_json(report, context) + "\n", encoding="utf-8")
    (out / "report.md").write_text(text, encoding="utf-8")
    print(text)
    print(f"written to {out}")
