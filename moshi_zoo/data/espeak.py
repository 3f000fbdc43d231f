"""espeak-ng as a source of speech with exact word and phoneme times.

The ``espeakng_loader`` wheel carries the library and its voices; ctypes drives it. The times are those of the synthesis
events, that is of the samples themselves, not of an aligner.
"""

import _ctypes
import bisect
import ctypes
import difflib
import functools
import itertools
import re
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

ENGLISH = ("en-us", "en-us-nyc", "en", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-gb-scotland", "en-029")
"""The accents: American, New York, British, Received Pronunciation, Lancaster, West Midlands, Scottish, Caribbean."""

# espeak-ng/speak_lib.h
_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: espeak_Synth returns when the callback has had all samples
_PHONEME_EVENTS, _DONT_EXIT = 0x0001, 0x8000
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4  # espeak_PARAMETER
_END, _WORD, _PHONEME = 0, 1, 7  # espeak_EVENT_TYPE
_CHARACTER_POSITIONS, _UTF8 = 1, 1
_PAUSE = "_"  # the symbols of pauses begin with it


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # characters, the first is 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # milliseconds
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Voice:
    """A way of speaking: an accent, a speaker, and how they talk today.

    Args:
        language: espeak's name of language and accent; :data:`ENGLISH` lists the English ones.
        variant: The speaker: ``m1`` to ``m8``, ``f1`` to ``f5``, or one of the names in the ``voices/!v`` folder.
        rate: Words per minute, 80 to 450.
        pitch: 0 to 100.
        pitch_range: Liveliness of the melody, 0 (monotone) to 100.
        volume: 0 to 200; above the default some variants clip.
    """

    language: str = "en-us"
    variant: str = "m3"
    rate: int = 175
    pitch: int = 50
    pitch_range: int = 50
    volume: int = 70

    @property
    def name(self) -> str:
        """The name espeak knows: ``en-us+m3``."""
        return f"{self.language}+{self.variant}"


@dataclass(frozen=True)
class Interval:
    """A word or a phoneme in time."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Utterance:
    """Speech and what was said when.

    Args:
        wav: float32 [S].
        sample_rate: In Hz.
        words: The words of the text as they are spelled there, with their punctuation, from the start of their first
            phoneme to the end of their last. Words that espeak speaks as one ("of the") come as one.
        phonemes: In espeak's ASCII notation, a stress mark (') before stressed vowels; pauses are left out.
    """

    wav: Tensor
    sample_rate: int
    words: list[Interval]
    phonemes: list[Interval]


def synthesize(text: str, voice: Voice | None = None) -> Utterance:
    """Speak a text with the engine of this process; see :meth:`Engine.synthesize`."""
    return _shared_engine().synthesize(text, voice or Voice())


class Engine:
    """One instance of espeak-ng.

    espeak keeps its state in global variables, among them the phase of the flutter that makes voices sound alive. Each
    engine loads a copy of the library of its own: so engines run in parallel, and what a new engine says first does not
    depend on what was said before in this process.

    Raises:
        ValueError: if espeak-ng is not installed.
    """

    def __init__(self) -> None:
        self._library, data, is_private = _load_copy()
        if is_private:
            weakref.finalize(self, _unload, self._library)
        self._variants = frozenset(path.name for path in (data / "voices" / "!v").iterdir())
        self._lock = threading.Lock()  # an engine holds one voice and one text at a time
        self._blocks: list[np.ndarray] = []
        self._events: list[tuple[int, int, int, str]] = []  # type, character, sample, symbol
        self.sample_rate: int = self._library.espeak_Initialize(
            _SYNCHRONOUS, 0, str(data).encode(), _PHONEME_EVENTS | _DONT_EXIT
        )
        if self.sample_rate <= 0:
            raise ValueError(f"espeak-ng found no voices in {data}; reinstall the espeakng-loader package")
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(0))
        self._callback = _Callback(self._receive)  # kept alive as long as the library may call it
        self._library.espeak_SetSynthCallback(self._callback)

    def synthesize(self, text: str, voice: Voice) -> Utterance:
        """Speak a text.

        Args:
            text: Plain text.
            voice: Who speaks.

        Raises:
            ValueError: if there is no such voice.
        """
        with self._lock:
            self._blocks.clear()
            self._events.clear()
            self._set_voice(voice)
            encoded = text.encode()
            status = self._library.espeak_Synth(
                encoded, len(encoded) + 1, 0, _CHARACTER_POSITIONS, 0, _UTF8, None, None
            )
            if status != 0:
                raise ValueError(f"espeak-ng cannot speak {text!r} (status {status})")
            samples = np.concatenate(self._blocks) if self._blocks else np.zeros(0, np.int16)
            phonemes = list(self._phonemes(len(samples)))
        words = list(_words(text, phonemes, self.sample_rate))
        return Utterance(
            wav=torch.from_numpy(samples.astype(np.float32) / 32768),
            sample_rate=self.sample_rate,
            words=words,
            phonemes=[Interval(p.symbol, p.start / self.sample_rate, p.end / self.sample_rate) for p in phonemes],
        )

    def _set_voice(self, voice: Voice) -> None:
        if voice.variant not in self._variants:  # espeak would speak on with another voice
            near = difflib.get_close_matches(voice.variant, self._variants) or ["m1", "f1"]
            raise ValueError(f"espeak-ng has no variant {voice.variant!r}; did you mean {' or '.join(near)}?")
        if self._library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise ValueError(f"espeak-ng has no language {voice.language!r}; English ones: {', '.join(ENGLISH)}")
        settings = {_RATE: voice.rate, _VOLUME: voice.volume, _PITCH: voice.pitch, _RANGE: voice.pitch_range}
        for parameter, value in settings.items():
            self._library.espeak_SetParameter(parameter, value, 0)

    def _receive(self, wav: "ctypes._Pointer[ctypes.c_short]", num_samples: int, events: "ctypes._Pointer") -> int:
        if wav and num_samples > 0:
            self._blocks.append(np.ctypeslib.as_array(wav, (num_samples,)).copy())  # espeak reuses its buffer
        i = 0
        while events[i].type != _END:
            event = events[i]
            if event.type in (_WORD, _PHONEME):
                symbol = event.id.string.decode(errors="replace") if event.type == _PHONEME else ""
                self._events.append((event.type, event.text_position - 1, event.sample, symbol))
            i += 1
        return 0  # go on

    def _phonemes(self, num_samples: int) -> "Iterator[_Phoneme]":
        character, word_start = 0, None
        ends = [sample for _, _, sample, _ in self._events[1:]] + [num_samples]
        for (kind, position, start, symbol), end in zip(self._events, ends, strict=True):
            if kind == _WORD:
                character, word_start = position, start
            elif symbol.startswith(_PAUSE):
                word_start = None
            elif end > start:
                # the way into a word's first sound lies before its phoneme event, and may be heard
                yield _Phoneme(symbol, start if word_start is None else word_start, end, character)
                word_start = None


@dataclass(frozen=True)
class _Phoneme:
    symbol: str
    start: int  # samples
    end: int
    character: int  # where its word begins in the text


def _words(text: str, phonemes: list[_Phoneme], sample_rate: int) -> Iterator[Interval]:
    """Group phonemes by the white-space token their word event points into.

    espeak speaks one token as several words ("1999") and several tokens as one word ("of the"): a token without
    phonemes of its own belongs to the one before it.
    """
    starts = [token.start() for token in re.finditer(r"\S+", text)]
    spoken: dict[int, list[_Phoneme]] = {}
    token = 0
    for phoneme in phonemes:
        token = max(token, bisect.bisect_right(starts, phoneme.character) - 1)
        spoken.setdefault(token, []).append(phoneme)
    begins = [0, *(starts[token] for token in list(spoken)[1:]), len(text)]
    for group, (begin, end) in zip(spoken.values(), itertools.pairwise(begins), strict=False):
        yield Interval(text[begin:end].strip(), group[0].start / sample_rate, group[-1].end / sample_rate)


@functools.cache
def _shared_engine() -> Engine:
    return Engine()


def _load_copy() -> tuple[ctypes.CDLL, Path, bool]:
    """The library, its data, and whether this copy is nobody else's."""
    try:
        import espeakng_loader
    except ImportError as error:
        raise ValueError(
            "synthetic speech needs espeak-ng, which is not installed: run with `uv run --extra synth ...`, "
            "or `pip install 'moshi_zoo[synth]'`; or train on recordings instead: --data.source FOLDER"
        ) from error
    original = espeakng_loader.get_library_path()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # Windows keeps a loaded file
        try:
            library, is_private = ctypes.CDLL(shutil.copy(original, folder)), True
        except OSError:  # a temporary folder mounted without permission to execute
            library, is_private = ctypes.CDLL(original), False
    unsigned, pointer = ctypes.c_uint, ctypes.c_void_p
    text = (ctypes.c_char_p, ctypes.c_size_t)
    library.espeak_Synth.argtypes = (*text, unsigned, ctypes.c_int, unsigned, unsigned, pointer, pointer)
    return library, Path(espeakng_loader.get_data_path()), is_private


def _unload(library: ctypes.CDLL) -> None:
    """Give the memory of an engine back: a corpus takes hundreds of them."""
    library.espeak_Terminate()
    if hasattr(_ctypes, "dlclose"):  # not on Windows
        _ctypes.dlclose(library._handle)
