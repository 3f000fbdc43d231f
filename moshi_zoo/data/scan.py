"""Looks through recordings before anybody trains on them: what is wrong with each, and what of it can be used."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from moshi_zoo.data.alignments import MAIN, Word, read_words, sidecar
from moshi_zoo.data.audio import AudioError
from moshi_zoo.data.manifest import Recording
from moshi_zoo.data.scan_sound import Sound, listen, speech_share

Problem = Literal[
    "unreadable",
    "too short",
    "too long",
    "no speech",
    "mostly silence",
    "clipped",
    "noisy",
    "too quiet",
    "band-limited",
    "duplicate",
    "no transcript",
    "bad transcript",
    "transcript does not fit",
    "one channel",
    "crosstalk",
    "swapped channels",
]

ADVICE: dict[Problem, str] = {
    "unreadable": "record or convert it again",
    "too short": "join it with others, or leave it out",
    "too long": "cut it at pauses into pieces of under a minute, each with its transcript",
    "no speech": "leave it out",
    "mostly silence": "cut the silence off",
    "clipped": "record it again with less gain",
    "noisy": "record it again in a quieter room, nearer to the microphone",
    "too quiet": "record it again with more gain",
    "band-limited": "look for a recording that was never a telephone call or a small MP3: what is lost stays lost",
    "duplicate": "leave it out",
    "no transcript": "write what is said into a .txt beside it, or let `data align --transcriber` do it",
    "bad transcript": "write what is said as UTF-8 text into the .txt, or mend the .json",
    "transcript does not fit": "compare it with what is said: it is too long or too short for the speech",
    "one channel": "record each speaker in a channel of their own",
    "crosstalk": "record with headphones: what leaks is learnt as part of the other voice",
    "swapped channels": "put the voice to learn into channel 0: ffmpeg -i IN -af 'pan=stereo|c0=c1|c1=c0' OUT",
}
"""What to do about each problem."""

_UNUSABLE: frozenset[Problem] = frozenset(
    {"unreadable", "too short", "no speech", "duplicate", "bad transcript", "one channel", "swapped channels"}
)
_SHORTEST_S, _LONGEST_S = 1.0, 60.0
_LEAST_SPEECH_S, _LEAST_SPEECH_SHARE = 0.5, 0.35
_CLIPPED, _SNR_DB, _LEVEL_DB, _LEAST_HZ = 2e-4, 20.0, -42.0, 5500.0
_LEAK = 0.3
_LETTERS_PER_S = (4.0, 30.0)  # of speech
_CLEAR = 0.2  # by so much more of the main speaker's words one channel must have


@dataclass(frozen=True)
class Scanned:
    """A recording and what was found.

    Args:
        recording: With its duration and text.
        sound: None: it cannot be read.
        problems: Each with what was measured.
        words: Whether the times of its words are known.
    """

    recording: Recording
    sound: Sound | None
    problems: dict[Problem, str] = field(default_factory=dict)
    words: bool = False

    @property
    def usable(self) -> bool:
        """Whether training may have it; it may have lesser problems."""
        return not _UNUSABLE & set(self.problems)

    @property
    def speech_s(self) -> float:
        """Seconds of speech of the voice to learn, which is in channel 0."""
        return self.sound.channels[0].speech_s if self.sound else 0.0


def scan(recordings: Iterable[Recording], *, conversations: bool) -> Iterator[Scanned]:
    """Look at recordings one after the other.

    Args:
        recordings: Which; transcripts lie beside them, or come with them.
        conversations: Whether each is a conversation in two channels, channel 0 the voice to learn; else they are one
            person's.
    """
    seen: dict[str, Path] = {}
    for recording in recordings:
        try:
            sound = listen(recording.path)
        except AudioError as error:
            yield Scanned(recording, None, {"unreadable": error.problem})
            continue
        problems = dict(_of_sound(sound, conversations=conversations))
        digest = "".join(channel.digest for channel in sound.channels)
        if (before := seen.setdefault(digest, recording.path)) != recording.path:
            problems["duplicate"] = f"of {before.name}"
        text, words = None, None
        try:
            text, words = transcript(recording)
            problems |= _of_words(text, words, sound, conversations=conversations)
        except ValueError as error:
            problems["bad transcript"] = str(error).removeprefix(f"{sidecar(recording.path)} ")
        known = Recording(
            path=recording.path,
            duration=sound.seconds,
            split=recording.split,
            speaker=recording.speaker,
            text=text,
            words=recording.words,
        )
        yield Scanned(known, sound, problems, words=bool(words))


def transcript(recording: Recording) -> tuple[str | None, list[Word] | None]:
    """What is said in a recording: by the manifest, the .txt or the .json beside it; and its words, if timed.

    Raises:
        ValueError: if one of these cannot be read.
    """
    words = read_words(recording)
    beside = recording.path.with_suffix(".txt")
    if recording.text is None and beside.is_file():
        try:
            text = " ".join(beside.read_text(encoding="utf-8-sig").split())
        except UnicodeDecodeError as error:
            raise ValueError(f"{beside.name} is not UTF-8") from error
        if not text:
            raise ValueError(f"{beside.name} is empty")
        return text, words
    if recording.text is None and words:
        return " ".join(word.text for word in words if word.speaker == MAIN), words
    return recording.text, words


def looks_like_conversations(sounds: Sequence[Sound]) -> bool:
    """Whether most recordings have two channels that differ."""
    return 2 * sum(sound.is_conversation for sound in sounds) > len(sounds)


def _of_sound(sound: Sound, *, conversations: bool) -> Iterator[tuple[Problem, str]]:
    voice = sound.channels[0]
    if sound.seconds < _SHORTEST_S:
        yield "too short", f"{sound.seconds:.2f} s"
    if voice.speech_s < _LEAST_SPEECH_S or voice.snr_db < 3:
        yield "no speech", f"{voice.speech_s:.1f} s of speech"
        return
    if not conversations:
        if sound.seconds > _LONGEST_S:
            yield "too long", f"{sound.seconds:.0f} s"
        if voice.speech_s < _LEAST_SPEECH_SHARE * sound.seconds:
            yield "mostly silence", f"{voice.speech_s / sound.seconds:.0%} speech"
    if (clipped := max(channel.clipped for channel in sound.channels)) > _CLIPPED:
        yield "clipped", f"{clipped:.2%} of the samples"
    if voice.snr_db < _SNR_DB:
        yield "noisy", f"{voice.snr_db:.0f} dB between speech and noise"
    if voice.level_db < _LEVEL_DB:
        yield "too quiet", f"{voice.level_db:.0f} dB"
    if voice.highest_hz < _LEAST_HZ:
        yield "band-limited", f"nothing above {voice.highest_hz / 1000:.1f} kHz"
    if conversations and not sound.is_conversation:
        yield "one channel", "mono" if sound.alike is None else "both channels hold the same"
    elif conversations and sound.leak is not None and sound.leak > _LEAK:
        yield "crosstalk", f"correlation {sound.leak:.2f}"


def _of_words(
    text: str | None, words: Sequence[Word] | None, sound: Sound, *, conversations: bool
) -> dict[Problem, str]:
    if not text and not words:
        return {"no transcript": ""}
    if text and not conversations:
        rate = sum(map(str.isalnum, text)) / max(sound.channels[0].speech_s, 0.1)
        if not _LETTERS_PER_S[0] <= rate <= _LETTERS_PER_S[1]:
            return {"transcript does not fit": f"{rate:.0f} letters a second of speech"}
    if words and conversations and len(sound.channels) > 1:
        spans = [(word.start_s, word.end_s) for word in words if word.speaker == MAIN]
        first, second = (speech_share(channel, spans) for channel in sound.channels[:2])
        if second > first + _CLEAR:
            return {"swapped channels": f"{second:.0%} of the main speaker's words are in channel 1"}
    return {}
