"""Windows of recordings as data sets: random ones to train on, fixed ones to validate on.

Only the window is read. Everything random about a training item is a pure function of seed, epoch and index: the number
of workers and processes changes nothing.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from moshi_zoo.data import audio
from moshi_zoo.data.audio import AudioError
from moshi_zoo.data.splits import Span
from moshi_zoo.data.survey import BadFile
from moshi_zoo.data.tracks import TRACK_RATE, Track

_DRAWS = 256  # for one item, before we say that there is nothing but silence
_FRAME_S = 0.04  # of the activity measure
_ACTIVE_DB = -30.0  # below the loudest frame
_ACTIVE_SHARE = 0.5  # frames that a validation window should have speech in
_TRIES = 8  # windows looked at for one validation item


@dataclass(frozen=True)
class Window:
    """One item.

    Args:
        wav: float32 [1, S], zeros behind the end of short files.
        num_samples: How many of the S samples are real.
        index: Of the item.
        bad: Files that turned out bad on the way to this window.
        known: What else is known about it, by name: tensors of the same shape for all windows.
    """

    wav: Tensor
    num_samples: int
    index: int
    bad: tuple[BadFile, ...] = ()
    known: Mapping[str, Tensor] = field(default_factory=dict)


class Recordings:
    """The recordings that windows are cut from, whole, each once.

    Args:
        spans: The audio.
        sample_rate: In Hz.
    """

    def __init__(self, spans: Iterable[Span], sample_rate: int):
        self._paths, self.sample_rate = list(dict.fromkeys(span.path for span in spans)), sample_rate
        self.names = [str(path) for path in self._paths]
        self.numbers = {path: number for number, path in enumerate(self._paths)}

    def load(self, index: int) -> Tensor:
        """One of them, [1, S].

        Raises:
            AudioError: if it cannot be used.
        """
        return audio.load(self._paths[index], self.sample_rate, channels=1)


class RandomWindows(Dataset[Window]):
    """Random windows, in proportion to duration, at a random level.

    Item i of an epoch lies at a random place in the i-th of ``len(self)`` equal stretches of all audio: every epoch
    goes through everything, and the windows still lie anywhere. A window that is silent, or lies in a bad file, is
    replaced by another draw.

    Args:
        spans: The audio.
        num_samples: Length of the windows at ``sample_rate``.
        sample_rate: In Hz.
        num_items: Items of an epoch.
        gain_db: Range of the random gain; what would clip is turned down.
        silence_db: A window with less RMS than this (dB, full scale = 0) is silent.
        seed: Of all random choices.
        tracks: What windows bring along beside their sound, by name.
    """

    def __init__(
        self,
        spans: Sequence[Span],
        *,
        num_samples: int,
        sample_rate: int,
        num_items: int,
        gain_db: tuple[float, float],
        silence_db: float,
        seed: int,
        tracks: Mapping[str, Track] | None = None,
    ):
        self.spans = spans
        self.num_samples, self.sample_rate, self.num_items = num_samples, sample_rate, num_items
        self.gain_db, self.silence_db, self.seed = gain_db, silence_db, seed
        self.tracks, self.recordings = tracks or {}, Recordings(spans, sample_rate)
        self._ends = np.cumsum([span.duration for span in spans])
        self._bad: dict[Span, BadFile] = {}
        self._sounding: set[Span] = set()  # spans known to have sound

    def __len__(self) -> int:
        return self.num_items

    def __getitem__(self, index: tuple[int, int]) -> Window:
        """The window of an epoch and an item of it.

        Raises:
            ValueError: if there is nothing but silence.
        """
        epoch, item = index
        bad: list[BadFile] = []
        for draw in range(_DRAWS):
            rng = np.random.default_rng((self.seed, epoch, item, draw))
            first = (item + rng.random()) / self.num_items
            span, start = self._place(first if draw == 0 else rng.random())
            gain = 10 ** (rng.uniform(*self.gain_db) / 20)
            if span in self._bad:
                continue
            try:
                wav = self._read(span, start)
            except AudioError as error:
                self._bad[span] = BadFile(span.path, f"{error.problem}; {error.fix}")
                bad.append(self._bad[span])
                continue
            if wav is not None:
                wav = wav * gain
                wav = wav / wav.abs().max().clamp_min(1.0)
                known = self._known(span, start)
                return Window(_padded(wav, self.num_samples), wav.shape[1], item, tuple(bad), known)
        raise ValueError(
            f"{_DRAWS} windows in a row were silent (below {self.silence_db} dB) or in bad files; "
            "lower silence_db, or look at the recordings: " + "; ".join(f"{b.path}: {b.reason}" for b in bad[:3])
        )

    def _place(self, where: float) -> tuple[Span, int]:
        """The span and the first sample at a place, 0 to 1, in all audio."""
        seconds = where * self._ends[-1]
        i = min(int(np.searchsorted(self._ends, seconds, side="right")), len(self.spans) - 1)
        span = self.spans[i]
        inside = 1 - (self._ends[i] - seconds) / span.duration
        room = max(int(span.duration * self.sample_rate) - self.num_samples, 0)
        return span, int(span.start * self.sample_rate) + min(int(inside * (room + 1)), room)

    def _known(self, span: Span, start: int) -> dict[str, Tensor]:
        num_steps = self.num_samples * TRACK_RATE // self.sample_rate
        where = span.path, start / self.sample_rate, num_steps
        place = {"recording": torch.tensor(self.recordings.numbers[span.path]), "start": torch.tensor(start)}
        return place | {name: track.at(*where) for name, track in self.tracks.items()}

    def _read(self, span: Span, start: int) -> Tensor | None:
        """The window [1, S], or None if only the window is silent."""
        wav = _load(span, start, self.num_samples, self.sample_rate)
        if level_db(wav) >= self.silence_db:
            return wav
        if span not in self._sounding:
            if _is_silent(span, self.sample_rate, self.silence_db):
                raise AudioError(span.path, f"is silent (below {self.silence_db} dB)", "remove it or lower silence_db")
            self._sounding.add(span)
        return None


class FixedWindows(Dataset[Window]):
    """The same windows every time: spread over all audio, from the middle of files, with speech in them.

    Files that are long enough for whole windows are preferred; shorter ones, padded, serve where those cannot fill
    the number of items.

    Args:
        spans: The audio.
        num_samples: Length of the windows at ``sample_rate``.
        sample_rate: In Hz.
        num_items: How many windows; there may be fewer where there is not enough audio.
        silence_db: A window with less RMS than this is silent.

    Attributes:
        bad: Files found bad while looking for windows.

    Raises:
        ValueError: if no window has sound.
    """

    def __init__(self, spans: Sequence[Span], *, num_samples: int, sample_rate: int, num_items: int, silence_db: float):
        self.num_samples, self.sample_rate, self.silence_db = num_samples, sample_rate, silence_db
        self.bad: list[BadFile] = []
        self._windows = self._choose(spans, num_items)
        if not self._windows:
            raise ValueError(
                f"none of the {len(spans)} validation recordings has sound (above {silence_db} dB): lower silence_db, "
                "or mark other recordings as `valid` in the manifest"
            )

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int) -> Window:
        span, start = self._windows[index]
        wav = _load(span, start, self.num_samples, self.sample_rate)
        return Window(_padded(wav, self.num_samples), wav.shape[1], index)

    def _choose(self, spans: Sequence[Span], num_items: int) -> list[tuple[Span, int]]:
        seconds = self.num_samples / self.sample_rate
        whole = [int(span.duration / seconds) for span in spans]  # windows that fit in
        if sum(whole) < num_items:
            whole = [max(count, 1) for count in whole]
        ends = np.cumsum(whole)
        num_items = min(num_items, int(ends[-1]))

        def place(slot: int) -> tuple[Span, int]:
            i = int(np.searchsorted(ends, slot, side="right"))
            margin = max(spans[i].duration - whole[i] * seconds, 0) / 2
            start = spans[i].start + margin + (slot - (ends[i] - whole[i])) * seconds
            return spans[i], int(start * self.sample_rate)

        chosen = []
        for item in range(num_items):
            mine = range(item * ends[-1] // num_items, (item + 1) * ends[-1] // num_items)
            middle_first = sorted(mine, key=lambda slot: abs(slot - mine[len(mine) // 2]))[:_TRIES]
            best = self._liveliest(map(place, middle_first))
            if best:
                chosen.append(best)
        return chosen

    def _liveliest(self, places: Iterable[tuple[Span, int]]) -> tuple[Span, int] | None:
        best, best_share = None, 0.0
        for span, start in places:
            try:
                wav = _load(span, start, self.num_samples, self.sample_rate)
            except AudioError as error:
                self.bad.append(BadFile(span.path, f"{error.problem}; {error.fix}"))
                continue
            share = active_share(wav, self.sample_rate) if level_db(wav) >= self.silence_db else 0.0
            if share > best_share:
                best, best_share = (span, start), share
            if share >= _ACTIVE_SHARE:
                break
        return best


def collate(windows: Sequence[Window]) -> tuple[dict[str, Tensor], list[BadFile]]:
    """A batch ``{wav [B, 1, S], num_samples [B], index [B], ...}`` and the bad files met on the way."""
    batch = {
        "wav": torch.stack([window.wav for window in windows]),
        "num_samples": torch.tensor([window.num_samples for window in windows]),
        "index": torch.tensor([window.index for window in windows]),
        **{name: torch.stack([window.known[name] for window in windows]) for name in windows[0].known},
    }
    return batch, [bad for window in windows for bad in window.bad]


def level_db(wav: Tensor) -> float:
    """RMS of a waveform [..., S] in dB, full scale = 0."""
    return 20 * math.log10(wav.square().mean().sqrt().item() + 1e-10)


def active_share(wav: Tensor, sample_rate: int) -> float:
    """Share of 40 ms frames of [1, S] that are within 30 dB of the loudest: about the share of speech."""
    frames = wav[0].unfold(0, min(round(_FRAME_S * sample_rate), wav.shape[1]), round(_FRAME_S * sample_rate))
    power = frames.square().mean(dim=1)
    return (power > power.max() * 10 ** (_ACTIVE_DB / 10)).float().mean().item()


def _load(span: Span, start: int, num_samples: int, sample_rate: int) -> Tensor:
    left = int((span.start + span.duration) * sample_rate) - start  # never beyond the span: others may validate there
    seconds = max(min(num_samples, left), 1) / sample_rate
    return audio.load(span.path, sample_rate, channels=1, start_s=start / sample_rate, seconds=seconds)


def _padded(wav: Tensor, num_samples: int) -> Tensor:
    return F.pad(wav, (0, num_samples - wav.shape[1]))


def _is_silent(span: Span, sample_rate: int, silence_db: float) -> bool:
    blocks = audio.stream(span.path, sample_rate, block_seconds=1.0)
    return all(level_db(block.mean(0)) < silence_db for block in blocks)
