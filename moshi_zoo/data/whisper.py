"""Transcripts with word times by Whisper, where faster-whisper is installed, of recordings that nobody wrote down."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from moshi_zoo.data.manifest import Recording

MODEL = "small"
"""Of Whisper, if nothing else is said: the least that times English words well."""


def transcribed(recordings: Iterable[Recording], model: str = MODEL) -> Iterator[Recording | ValueError]:
    """Recordings with text and words in place of what they had, or why one could not be transcribed.

    Args:
        recordings: Which.
        model: Name or folder of a faster-whisper model; a name may be downloaded.

    Raises:
        ValueError: if faster-whisper is not installed, or there is no such model.
    """
    whisper = _load(model)
    for recording in recordings:
        try:
            segments, _ = whisper.transcribe(
                str(recording.path), word_timestamps=True, condition_on_previous_text=False
            )
            words = [word for segment in segments for word in segment.words or ()]
        except (RuntimeError, OSError, ValueError) as error:
            yield ValueError(f"{recording.path}: {error}")
            continue
        timed = [[w.word.strip(), round(w.start, 3), round(w.end, 3)] for w in words if w.word.strip()]
        if timed:
            yield replace(recording, text=" ".join(word for word, _, _ in timed), words=timed, phonemes=None)
        else:
            yield ValueError(f"{recording.path}: nobody says a word in it")


def _load(model: str) -> Any:
    try:
        from faster_whisper import WhisperModel  # pyrefly: ignore
    except ImportError as error:
        raise ValueError(
            "transcribing needs faster-whisper: pip install faster-whisper, or write what is said into a .txt beside "
            "each recording"
        ) from error
    try:
        return WhisperModel(model, device="auto", compute_type="default")
    except Exception as error:  # the hub's, CTranslate2's, huggingface_hub's own
        raise ValueError(
            f"the Whisper model {model!r} cannot be loaded ({error}): give the folder of one that is here"
        ) from error
