"""The verb ``transcribe``: streaming speech recognition."""

import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from moshi_zoo.cli.transcript_formats import FORMATS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from moshi_zoo.runtime.conversations import Conversations

_STANDARD_INPUT = "-"
_BLOCK_S = 10.0


def transcribe(
    recording: str | None = None,
    *,
    model: str,
    microphone: bool = False,
    format: Literal["text", "jsonl", "srt"] = "text",
    out: Path | None = None,
    mode: Literal["asr", "duplex"] = "asr",
    text_delay: float | None = None,
    codec: str | None = None,
    voice: str | None = None,
    raw_rate: int | None = None,
    temperature: float | None = None,
    padding_bonus: float = 0.0,
    seed: int = 0,
    device: str = "cpu",
    compile: Literal["always", "never"] = "never",
) -> None:
    """Write down what is said, each word as soon as it has been heard.

    Args:
        recording: any format, any sample rate, any length; `-` reads wav or bare samples from standard input.
        model: name or folder of a Moshi that has learnt to transcribe.
        microphone: listen to the microphone, until Ctrl-C.
        format: text; jsonl, a word in each line; srt, subtitles.
        out: a file to write; standard output, if not given.
        mode: asr, in which Moshi only listens; duplex: what it writes down of the user while it talks, if it has learnt
            to.
        text_delay: seconds that the model writes a word after it has begun; as in its training, if not given. Times are
            shifted back by it.
        codec: name or folder of the model's codec; the one that it was trained with, if not given.
        voice: name or folder of an adapter of the model.
        raw_rate: of bare samples (16 bits, one channel) from standard input, in Hz; the codec's, if not given.
        temperature: chance in the choice of text. If not given, 0, which takes the likeliest; in mode duplex, as its
            folder says of the model (`info`).
        padding_bonus: added to the logit of silence; above 0, fewer words are heard.
        seed: of the chance.
        device: where to compute, such as cpu or cuda.
        compile: on a CPU: the step of the model, as C++. That takes minutes at first, less than one later, and pays for
            long sound.
    """
    if (recording is None) != microphone:
        raise ValueError("give one of a recording, - (standard input) and --microphone")

    from moshi_zoo.cli.load_conversations import load_conversations
    from moshi_zoo.runtime.streams import run
    from moshi_zoo.runtime.transcription import SETTINGS, Transcriber, silence

    conversations = load_conversations(model, codec=codec, voice=voice, device=device, compile=compile)
    settings = replace(SETTINGS[mode], padding_bonus=padding_bonus, seed=seed)
    if temperature is not None:
        settings = replace(settings, text_temperature=temperature)
    started = time.monotonic()
    with _opened(out) as target:
        writer = FORMATS[format](target)
        transcriber = Transcriber(
            _frames(recording, conversations, raw_rate),
            conversations,
            text_delay_s=text_delay,
            mode=mode,
            settings=settings,
            on_word=writer.add,
            silence=silence(conversations),
        )
        try:
            run(conversations, [transcriber])
        except KeyboardInterrupt:
            if not microphone:
                raise
        writer.end()
    took, seconds = time.monotonic() - started, len(transcriber.tokens) / conversations.frame_rate
    print(f"{seconds:.1f} s in {took:.1f} s: {seconds / took:.1f}x real time", file=sys.stderr)


def _frames(
    recording: str | None, conversations: "Conversations", raw_rate: int | None
) -> "Iterator[NDArray[np.float32]]":
    from moshi_zoo.cli import live_audio

    rate, size = conversations.sample_rate, conversations.frame_size
    if recording is None:
        return live_audio.microphone_frames(rate, size)
    if recording == _STANDARD_INPUT:
        return live_audio.piped_frames(sys.stdin.buffer, rate, size, raw_rate=raw_rate or rate)
    from moshi_zoo.data import audio

    audio.probe(recording)  # says now what is wrong with it
    return live_audio.frames_of_blocks(audio.stream(recording, rate, block_seconds=_BLOCK_S), size)


def _opened(out: Path | None) -> "TextIO | nullcontext[TextIO]":
    if out is None:
        return nullcontext(sys.stdout)
    out.parent.mkdir(parents=True, exist_ok=True)
    return out.open("w", encoding="utf-8")
