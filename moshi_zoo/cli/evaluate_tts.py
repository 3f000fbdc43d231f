"""``evaluate tts``: is what a Moshi reads aloud understood? With confidence intervals."""

from pathlib import Path
from typing import Literal

from moshi_zoo.cli.evaluation_dialogues import choose_dialogues, codec_of_stores
from moshi_zoo.cli.evaluation_run import OUT, about_model, command_line, run_facts, versions
from moshi_zoo.cli.load_moshi import load_moshi
from moshi_zoo.cli.stages import Stages

_PACKAGES = ("torch", "numpy", "sentencepiece")


def evaluate_tts(
    *,
    model: str,
    data: list[str],
    codec: str | None = None,
    split: Literal["train", "valid", "test", "all"] = "valid",
    limit: int | None = 100,
    text_delay: float | None = None,
    padding_bonuses: str = "0,1,2",
    text_temperature: float | None = None,
    audio_temperature: float | None = None,
    batch_size: int = 32,
    out: Path | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> None:
    """Let a Moshi read aloud what it says in held-out dialogues, and have it heard by an independent listener.

    The listener is made at first use (some minutes on one core). Writes results.json, report.md and ten sounds.

    Args:
        model: name or folder of a Moshi that was trained to read aloud (mode tts).
        data: stores of coded dialogues, made with its codec.
        codec: that codec; it is looked for among what the model was made from, if not given.
        split: which of their dialogues.
        limit: the first so many texts.
        text_delay: how long before its sound it writes a word, in seconds; as in its training, if not given.
        padding_bonuses: added to PAD's logit to make it slower; how slow it reads is compared with them.
        text_temperature: of text, which says when the next word comes; as its folder says of the model, if not given.
        audio_temperature: of codes, likewise.
        batch_size: texts at once.
        out: the folder to write; runs/evaluations/MODEL/tts, if not given.
        device: where to compute, such as cpu or cuda.
        seed: of all draws.
    """
    command = command_line(evaluate_tts, "evaluate tts", locals())
    from moshi_zoo.data import audio
    from moshi_zoo.evaluation import speech_report, tts_suite
    from moshi_zoo.evaluation.listener_training import cached_listener
    from moshi_zoo.evaluation.tts_suite import TtsSettings
    from moshi_zoo.runtime.conversations import Conversations
    from moshi_zoo.runtime.settings import TalkSettings

    try:
        bonuses = tuple(float(word) for word in padding_bonuses.split(","))
    except ValueError:
        raise ValueError(f"padding_bonuses is {padding_bonuses!r}; give numbers such as 0,1,2") from None
    talk = TalkSettings(text_temperature, audio_temperature=audio_temperature, seed=seed)
    loaded = load_moshi(model, device)
    learnt = loaded.config.text_layout.delay_s("tts")
    settings = TtsSettings(learnt if text_delay is None else text_delay, talk.of(loaded.sampling), bonuses)
    places = choose_dialogues(data, split, limit=None, model=loaded)
    mimi = codec_of_stores(model, codec, places, device)
    texts = tts_suite.texts_of(places, limit)
    about = about_model(model, loaded.net, loaded.config, loaded.folder)
    out = out or OUT / about["name"] / "tts"
    rows = Conversations(loaded.net, None, loaded.tokenizer, max_sessions=max(min(batch_size, len(texts)), 1))
    with Stages() as stages:
        listener = cached_listener(tell=stages.begin)
        report = tts_suite.evaluate_tts(rows, mimi, listener, texts, settings, tell=stages.begin, step=stages.step)
    context = {
        "model": about,
        "data": {"stores": " ".join(data), "split": split, "texts": len(texts)},
        "run": run_facts(command, device),
        "versions": versions(*_PACKAGES),
    }
    text = speech_report.tts_as_markdown(report, context)
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(speech_report.tts_as_json(report, context) + "\n", encoding="utf-8")
    (out / "report.md").write_text(text, encoding="utf-8")
    for i, row in enumerate(report.rows):
        if row.wav is not None:
            audio.save(out / f"{i}.wav", row.wav[None], mimi.sample_rate)
    print(text)
    print(f"written to {out}")
