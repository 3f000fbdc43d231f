"""The verb ``speak``: streaming text to speech."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from moshi_zoo.runtime.conversations import Spoken


def speak(
    text: str | None = None,
    *,
    model: str,
    out: Path,
    file: Path | None = None,
    json: Path | None = None,
    codec: str | None = None,
    voice: str | None = None,
    text_delay: float | None = None,
    max_pause: float = 0.64,
    padding_bonus: float = 0.0,
    tail: float = 0.4,
    seed: int = 0,
    text_temperature: float | None = None,
    audio_temperature: float | None = None,
    audio_top_k: int = 250,
    device: str = "cpu",
    compile: Literal["always", "never"] = "never",
) -> None:
    """Read a text aloud, from the command line, from --file, or from standard input. The sound is written as it comes.

    Of a script, whose lines begin with `moshi:` or `user:`, Moshi's lines are read, with a pause between them.

    Args:
        text: what to read.
        model: name or folder of a Moshi that has learnt to read aloud.
        out: the wav (flac, ogg, mp3) file to write.
        file: a file with the text, instead.
        json: a file for the words with their times.
        codec: name or folder of the model's codec; the one that it was trained with, if not given.
        voice: name or folder of an adapter of the model.
        text_delay: seconds that the model writes a word before it says it; as in its training, if not given.
        max_pause: seconds between two words at most.
        padding_bonus: added to the logit of silence; above 0, Moshi reads more slowly.
        tail: seconds after the last word.
        seed: of the voice's chance; the same one gives the same.
        text_temperature: chance in when a word begins; as its folder says of the model (`info`), if not given.
        audio_temperature: chance in how it sounds, likewise.
        audio_top_k: draw among so many likeliest codes; 0 among all.
        device: where to compute, such as cpu or cuda.
        compile: on a CPU: the step of the model, as C++. That takes minutes at first, less than one later, and pays for
            long sound.
    """
    words = _text(text, file)

    import torch

    from moshi_zoo.cli.load_conversations import load_conversations
    from moshi_zoo.data import audio
    from moshi_zoo.runtime.settings import TalkSettings
    from moshi_zoo.runtime.speech import Pace, Speaker
    from moshi_zoo.runtime.streams import run
    from moshi_zoo.runtime.words import as_json

    conversations = load_conversations(model, codec=codec, voice=voice, device=device, compile=compile)
    settings = TalkSettings(
        text_temperature=text_temperature,
        audio_temperature=audio_temperature,
        audio_top_k=audio_top_k,
        padding_bonus=padding_bonus,
        seed=seed,
        mode="tts",
    )
    speaker = Speaker(
        words, conversations, text_delay_s=text_delay, pace=Pace(max_pause_s=max_pause, tail_s=tail), settings=settings
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with audio.Writer(out, conversations.sample_rate) as writer:

        def write(spoken: "Spoken") -> None:
            assert spoken.wav is not None
            writer.write(torch.from_numpy(spoken.wav)[None])

        speaker.on_frame = write
        run(conversations, [speaker])
    if json is not None:
        json.write_text(as_json(speaker.words) + "\n", encoding="utf-8")
    took, seconds = time.monotonic() - started, speaker.speech().codes.shape[1] / conversations.frame_rate
    print(f"{out}: {seconds:.1f} s")
    print(f"{seconds:.1f} s in {took:.1f} s: {seconds / took:.1f}x real time", file=sys.stderr)


def _text(text: str | None, file: Path | None) -> str:
    if text is not None and file is not None:
        raise ValueError("TEXT and --file exclude each other: give one of them")
    if text is not None:
        return text
    if file is not None:
        try:
            return file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{file} is no text in UTF-8: {error}") from error
    if sys.stdin.isatty():
        raise ValueError("give something to read: a text, --file FILE, or standard input")
    return sys.stdin.read()
