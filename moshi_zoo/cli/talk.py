"""The verb ``talk``: offline full duplex, recorded users in, Moshi's replies out."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

    from moshi_zoo.runtime.conversations import Conversations, Spoken
    from moshi_zoo.runtime.talk import Reply, Talker

_AT_ONCE = 8  # users


@dataclass(frozen=True)
class Places:
    """Where results go: files; folders of files, where there are several users."""

    out: Path
    stereo: Path | None
    json: Path | None
    plot: Path | None
    many: bool

    def of(self, name: str) -> Mapping[str, Path]:
        """Kind of result -> the file for a user of this name; its folder is there."""
        files = {}
        for kind, suffix in {"out": ".wav", "stereo": ".wav", "json": ".json", "plot": ".png"}.items():
            place: Path | None = getattr(self, kind)
            if place is not None:
                files[kind] = place / f"{name}{suffix}" if self.many else place
                files[kind].parent.mkdir(parents=True, exist_ok=True)
        return files


def talk(
    users: list[str],
    *,
    model: str,
    out: Path,
    stereo: Path | None = None,
    json: Path | None = None,
    plot: Path | None = None,
    codec: str | None = None,
    voice: str | None = None,
    channel: int | None = None,
    lead: float = 0.0,
    tail: float = 4.0,
    seed: int = 0,
    text_temperature: float | None = None,
    text_top_k: int = 25,
    audio_temperature: float | None = None,
    audio_top_k: int = 250,
    padding_bonus: float = 0.0,
    device: str = "cpu",
    weights: Literal["float16", "int8", "int4"] | None = None,
    compile: Literal["always", "never"] = "never",
) -> None:
    """Talk with recorded users, by the same steps as in real time. What Moshi thinks is printed as it comes.

    Of a model that writes down what it hears, the user's words are shown, too, in brackets.

    Of several users, or a folder of them, all conversations run in one batch, and --out, --stereo, --json and --plot
    are folders.

    Args:
        users: recordings, or one folder of them: any format, any sample rate.
        model: name or folder of a Moshi.
        out: the wav (flac, ogg, mp3) file for Moshi's voice.
        stereo: a file for both: Moshi left, the user right.
        json: a file for the words with their times, frames, tokens and speakers.
        plot: a picture of both waveforms and the words.
        codec: name or folder of the model's codec; the one that it was trained with, if not given.
        voice: name or folder of an adapter of the model.
        channel: of a recording with several, the one that the user is in, from 0; all are mixed if not given.
        lead: seconds of silence before the user.
        tail: seconds of silence after the user, for the answer.
        seed: of the conversation; the same one gives the same. Further users have the next seeds.
        text_temperature: chance in what Moshi thinks; 0 takes the likeliest, which is seldom to begin to speak. As its
            folder says of the model (`info` shows it), if not given.
        text_top_k: draw among so many likeliest text tokens; 0 among all.
        audio_temperature: chance in how it sounds, likewise.
        audio_top_k: draw among so many likeliest codes; 0 among all.
        padding_bonus: added to the logit of silence; above 0, Moshi says less.
        device: where to compute, such as cpu or cuda.
        weights: on a CPU: of the model's products, in fewer bits, which are read faster; small ones stay as they are.
        compile: on a CPU: the step of the model, as C++. That takes minutes at first, less than one later, and pays for
            long sound.
    """
    recordings = _recordings(users)
    places = Places(out, stereo, json, plot, many=[str(path) for path in recordings] != users or len(users) > 1)
    for name, seconds in (("lead", lead), ("tail", tail)):
        if not seconds >= 0:
            raise ValueError(f"--{name} is {seconds}; it must be 0 seconds or more")

    from moshi_zoo.cli.load_conversations import load_conversations
    from moshi_zoo.runtime.settings import TalkSettings
    from moshi_zoo.runtime.streams import frames, run
    from moshi_zoo.runtime.talk import Talker

    rows = min(len(recordings), _AT_ONCE)
    conversations = load_conversations(
        model, codec=codec, voice=voice, max_sessions=rows, device=device, weights=weights, compile=compile
    )
    show = _Progress(recordings, conversations, conversations.frame_rate)
    heard: dict[int, torch.Tensor] = {}
    talkers: dict[int, Talker] = {}

    def all_talkers() -> "Iterator[Talker]":
        for number, path in enumerate(recordings):
            settings = TalkSettings(
                text_temperature=text_temperature,
                text_top_k=text_top_k,
                audio_temperature=audio_temperature,
                audio_top_k=audio_top_k,
                padding_bonus=padding_bonus,
                seed=seed + number,
            )
            heard[number] = _user(path, conversations.sample_rate, channel, lead, tail)
            talkers[number] = Talker(
                frames(heard[number].numpy(), conversations.frame_size),
                conversations,
                settings=settings,
                on_frame=show.begin(number, len(heard[number])),
            )
            yield talkers[number]

    def done(number: int) -> None:
        show.end(number)
        _write(places.of(recordings[number].stem), heard.pop(number), talkers.pop(number).reply(), conversations)

    run(conversations, all_talkers(), done)
    show.total()


def _recordings(users: list[str]) -> list[Path]:
    """The files that are meant."""
    paths = [Path(user) for user in users]
    if len(paths) != 1 or not paths[0].is_dir():
        if double := {path.stem for path in paths if [p.stem for p in paths].count(path.stem) > 1}:
            raise ValueError(f"several recordings are called {sorted(double)[0]}: their results would have one name")
        return paths
    from moshi_zoo.data.audio import SUFFIXES

    found = sorted(path for path in paths[0].iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise ValueError(f"{paths[0]} has no recordings: it should hold files such as .wav, .flac or .mp3")
    return _recordings([str(path) for path in found])


def _user(path: Path, sample_rate: int, channel: int | None, lead: float, tail: float) -> "torch.Tensor":
    """What Moshi hears, [S]: whole frames are not needed."""
    import torch.nn.functional as F

    from moshi_zoo.data import audio

    wav = audio.load(path, sample_rate)  # [C, S]
    if channel is not None and not 0 <= channel < len(wav):
        raise ValueError(f"{path} has {len(wav)} channel(s): --channel {channel} is none of 0 to {len(wav) - 1}")
    mono = wav.mean(0) if channel is None else wav[channel]
    return F.pad(mono, (round(lead * sample_rate), round(tail * sample_rate)))


def _write(places: Mapping[str, Path], user: "torch.Tensor", reply: "Reply", conversations: "Conversations") -> None:
    import torch

    from moshi_zoo.data import audio

    assert reply.wav is not None
    moshi = torch.from_numpy(reply.wav)[: len(user)]  # frames are whole, the user's end may not be
    both = torch.stack([moshi, user])
    audio.save(places["out"], both[:1], conversations.sample_rate)
    if "stereo" in places:
        audio.save(places["stereo"], both, conversations.sample_rate)
    if "json" in places:
        from moshi_zoo.runtime.words import as_json

        places["json"].write_text(as_json(reply.words) + "\n", encoding="utf-8")
    if "plot" in places:
        from moshi_zoo.metrics.talk_picture import talk_picture

        words = {
            name: [(word.start_s, word.text) for word in reply.words if word.speaker == name.lower()]
            for name in ("Moshi", "user")
        }
        wavs = dict(zip(words, both, strict=True))
        talk_picture(wavs, conversations.sample_rate, words=words).save(places["plot"])
    print(", ".join(str(path) for path in places.values()))


class TextLine:
    """The text of a conversation in one line, piece by piece, with what the user says in brackets."""

    def __init__(self) -> None:
        self.text = ""
        self._in_brackets = False

    def add(self, spoken: "Spoken") -> str:
        """What comes behind the line so far."""
        more = ""
        if spoken.piece:
            more = self._bracket(opens=False) + (spoken.piece if self.text else spoken.piece.lstrip())
        elif spoken.heard:
            more = self._bracket(opens=True)
            more += spoken.heard.lstrip() if more else spoken.heard
        self.text += more
        return more

    def end(self) -> str:
        """What comes behind the last piece."""
        more = self._bracket(opens=False)
        self.text += more
        return more

    def _bracket(self, *, opens: bool) -> str:
        if opens == self._in_brackets:
            return ""
        self._in_brackets = opens
        return "]" if not opens else " [" if self.text else "["


class _Progress:
    """Prints the inner monologue of a single conversation as it comes; of several, each as a whole."""

    def __init__(self, recordings: list[Path], conversations: "Conversations", frame_rate: float):
        self._recordings, self._frame_rate = recordings, frame_rate
        self._sample_rate = conversations.sample_rate
        self._lines: dict[int, TextLine] = {}
        self._seconds = 0.0
        self._started = time.monotonic()

    def begin(self, number: int, num_samples: int) -> "Callable[[Spoken], None]":
        """What a conversation tells its frames."""
        line = self._lines[number] = TextLine()
        self._seconds += num_samples / self._sample_rate
        alone = len(self._recordings) == 1

        def tell(spoken: "Spoken") -> None:
            more = line.add(spoken)
            if alone and more:
                sys.stdout.write(more)
                sys.stdout.flush()

        return tell

    def end(self, number: int) -> None:
        """Finish the line of a conversation."""
        line = self._lines.pop(number)
        rest = line.end()
        print(rest if len(self._recordings) == 1 else f"{self._recordings[number].name}: {line.text}")

    def total(self) -> None:
        """Say how long all took."""
        took = time.monotonic() - self._started
        print(f"{self._seconds:.1f} s in {took:.1f} s: {self._seconds / took:.1f}x real time", file=sys.stderr)
