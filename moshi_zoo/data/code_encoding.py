"""Fills a store of codes: many files at a time through the codec, in blocks, in constant memory.

The codec's streaming state is carried through each file, so that codes are those of a live conversation. The codec
itself is somebody else's: it comes as a function.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from moshi_zoo.data import audio
from moshi_zoo.data.alignments import Word, read_about, read_words
from moshi_zoo.data.audio import AudioError
from moshi_zoo.data.code_store import CodecIdentity, CodedDialogue, CodeStoreWriter, Entry
from moshi_zoo.data.code_views import View, beside_a_listener, choose_main_speaker, separated, to_mono, turns
from moshi_zoo.data.manifest import Recording
from moshi_zoo.data.survey import BadFile, survey

Start = Callable[[int], Callable[[Tensor], Tensor]]
"""Begins as many streams as are asked for; then encodes the next block of all of them, [N, 1, S] -> [N, K, T]."""

BLOCK_FRAMES = 50  # 4 s: what the streams are given at a time

_SHARD_DIALOGUES = 256
_LEAST_SECONDS = 0.1


@dataclass
class EncodingReport:
    """What has become of the dialogues so far.

    Args:
        encoded: How many.
        seconds: Length of these.
        known: How many were there before.
        bad: Which are left out, and why.
    """

    encoded: int = 0
    seconds: float = 0.0
    known: int = 0
    bad: list[BadFile] = field(default_factory=list)


def encode_dialogues(
    recordings: Sequence[Recording],
    writer: CodeStoreWriter,
    start: Start,
    *,
    view: View = "recorded",
    copies: int = 1,
    batch_size: int = 8,
) -> Iterator[EncodingReport]:
    """Encode what the store does not have yet, a shard at a time.

    Args:
        recordings: Files with one channel or two, Moshi and the user.
        writer: The store.
        start: The codec.
        view: What of the files is encoded: their channels, all of them in one, the main speaker against all else, for
            which words must be known with their speakers, or all of them beside a quiet room.
        copies: How many times each is encoded, each time from another fraction of a frame on: to the codec these are
            different recordings, of which a model learns more than of one.
        batch_size: Files that go through it at a time.

    Yields:
        The report, always the same one, after each batch.

    Raises:
        ValueError: if a file has changed since it was encoded, or was encoded in another view.
    """
    report = EncodingReport()
    for copy in range(copies):
        yield from _encode_copy(recordings, writer, start, _Way(view, copy, copies), report, batch_size)


@dataclass(frozen=True)
class _Way:
    """How files are encoded: in which view, and from which fraction of a frame on, ``copy / copies``."""

    view: View
    copy: int = 0
    copies: int = 1

    def name(self, path: Path) -> str:
        """Of the result in a store."""
        whole = str(Path(os.path.abspath(path)))  # noqa: PTH100 - links keep the names the user gave
        return f"{whole}#{self.copy}" if self.copy else whole


def _encode_copy(
    recordings: Sequence[Recording],
    writer: CodeStoreWriter,
    start: Start,
    way: _Way,
    report: EncodingReport,
    batch_size: int,
) -> Iterator[EncodingReport]:
    new = []
    for recording in recordings:
        if _is_known(recording, writer, way):
            report.known += 1
        else:
            new.append(recording)
    usable, bad = survey(new, min_seconds=_LEAST_SECONDS)
    report.bad += bad
    yield report
    for first in range(0, len(usable), _SHARD_DIALOGUES):
        shard: list[CodedDialogue] = []
        by_length = sorted(usable[first : first + _SHARD_DIALOGUES], key=lambda r: (r.duration, r.path))
        for begin in range(0, len(by_length), batch_size):
            batch = _encoded(by_length[begin : begin + batch_size], writer.codec, start, way, report.bad)
            shard += batch
            report.encoded += len(batch)
            report.seconds += sum(d.entry.num_frames for d in batch) / writer.codec.frame_rate
            yield report
        if shard:
            writer.write_shard(shard)


def encode_side_by_side(
    sources: Sequence[Iterator[Tensor]], channels: Sequence[int], frame_size: int, start: Start
) -> list[Tensor]:
    """Waveforms that come in blocks, encoded in one batch, each as if it were alone.

    Args:
        sources: Blocks [C, S] of :data:`BLOCK_FRAMES` whole frames; a source's last block may be shorter. One block at
            least.
        channels: C of each.
        frame_size: Samples of a frame.
        start: The codec.

    Returns:
        Codes of each, int16 [C, K, T]; the last frame is filled up with silence.
    """
    codes: list[list[Tensor]] = [[] for _ in sources]
    encode = start(sum(channels))
    while True:
        blocks = [next(source, None) for source in sources]
        longest = max((block.shape[1] for block in blocks if block is not None), default=0)
        if not longest:
            return [torch.cat(own, dim=-1) for own in codes]
        wav = torch.zeros(sum(channels), longest + -longest % frame_size)
        for rows, block in zip(wav.split(list(channels)), blocks, strict=True):
            if block is not None:
                rows[:, : block.shape[1]] = block
        coded = encode(wav[:, None]).to("cpu", torch.int16)  # [N, K, T]
        for own, rows, block in zip(codes, coded.split(list(channels)), blocks, strict=True):
            if block is not None:
                own.append(rows[..., : -(-block.shape[1] // frame_size)])


class _File:
    """A file on its way through the codec: an iterator of its blocks [C, S]."""

    def __init__(self, recording: Recording, codec: CodecIdentity, way: _Way):
        self.recording, self.way, view = recording, way, way.view
        path = recording.path
        self.channels = audio.probe(path).channels
        if self.channels > 2 and view == "recorded":
            fix = "keep two of them: Moshi in the first, the user in the second"
            raise AudioError(path, f"has {self.channels} channels", fix)
        self.words, self.about = read_words(recording), read_about(recording)
        self.error: AudioError | None = None
        seconds = BLOCK_FRAMES * codec.frame_size / codec.sample_rate
        blocks = audio.stream(path, codec.sample_rate, block_seconds=seconds)
        if view == "mono":
            self.channels, blocks = 1, map(to_mono, blocks)
        elif view == "monologue":
            self.channels, blocks = 2, beside_a_listener(blocks, "/".join(path.parts[-2:]))
        elif view == "duplex":
            if not self.words:
                raise ValueError("nobody knows who says what in it: give words with their speakers")
            self.words = choose_main_speaker(self.words, "/".join(path.parts[-2:]))  # alike wherever the folder lies
            self.channels, blocks = 2, separated(blocks, turns(self.words), codec.sample_rate)
        if lead := codec.frame_size * way.copy // way.copies:
            blocks = _led_in(blocks, lead, BLOCK_FRAMES * codec.frame_size)
            self.words = self.words and [_later(word, lead / codec.sample_rate) for word in self.words]
        self._blocks = blocks
        self._first = next(blocks, None)  # a file that cannot be read is noticed before the others wait for it

    def __iter__(self) -> Iterator[Tensor]:
        return self

    def __next__(self) -> Tensor:
        """A file that turns out to be damaged ends there."""
        block, self._first = self._first, None
        if block is not None:
            return block
        try:
            return next(self._blocks)
        except AudioError as error:
            self.error = error
            raise StopIteration from error

    def coded(self, codes: Tensor) -> CodedDialogue:
        """With all that is known about it."""
        path = self.recording.path
        entry = Entry(
            path=self.way.name(path),
            bytes=path.stat().st_size,
            channels=self.channels,
            num_frames=codes.shape[-1],
            split=self.recording.split,
            num_words=None if self.words is None else len(self.words),
            view=self.way.view,
        )
        return CodedDialogue(entry, codes, self.words, self.about)


def _led_in(blocks: Iterator[Tensor], lead: int, size: int) -> Iterator[Tensor]:
    """So many samples of silence ahead of a stream; blocks [C, S] of ``size`` samples again, the last one shorter."""
    pending: Tensor | None = None
    for block in blocks:
        pending = torch.cat([block.new_zeros(len(block), lead) if pending is None else pending, block], dim=1)
        while pending.shape[1] >= size:
            yield pending[:, :size]
            pending = pending[:, size:]
    if pending is not None and pending.shape[1]:
        yield pending


def _later(word: Word, seconds: float) -> Word:
    return replace(word, start_s=word.start_s + seconds, end_s=word.end_s + seconds)


def _encoded(
    recordings: Sequence[Recording], codec: CodecIdentity, start: Start, way: _Way, bad: list[BadFile]
) -> list[CodedDialogue]:
    """Files side by side; those that turn out bad are noted."""
    files: list[_File] = []
    for recording in recordings:
        try:
            files.append(_File(recording, codec, way))
        except ValueError as error:
            bad.append(_bad(recording, error))
    if not files:
        return []
    codes = encode_side_by_side(files, [file.channels for file in files], codec.frame_size, start)
    bad += [_bad(file.recording, file.error) for file in files if file.error]
    return [file.coded(own) for file, own in zip(files, codes, strict=True) if not file.error]


def _is_known(recording: Recording, writer: CodeStoreWriter, way: _Way) -> bool:
    entry = writer.known.get(way.name(recording.path))
    if entry is None:
        return False
    if entry.view != way.view:
        raise ValueError(f"{writer.folder} has {recording.path} in the view {entry.view}: encode into a new folder")
    if recording.path.is_file() and recording.path.stat().st_size != entry.bytes:
        raise ValueError(
            f"{recording.path} has changed since it was encoded into {writer.folder}: encode into a new folder"
        )
    return True


def _bad(recording: Recording, error: ValueError) -> BadFile:
    reason = f"{error.problem}; {error.fix}" if isinstance(error, AudioError) else str(error)
    return BadFile(recording.path, reason)
