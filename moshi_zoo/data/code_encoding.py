"""Fills a store of codes: many files at a time through the codec, in blocks, in constant memory.

The codec's streaming state is carried through each file, so that codes are those of a live conversation. The codec
itself is somebody else's: it comes as a function.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from moshi_zoo.data import audio
from moshi_zoo.data.alignments import read_words
from moshi_zoo.data.audio import AudioError
from moshi_zoo.data.code_store import CodecIdentity, CodedDialogue, CodeStoreWriter, Entry
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
    recordings: Sequence[Recording], writer: CodeStoreWriter, start: Start, *, batch_size: int = 8
) -> Iterator[EncodingReport]:
    """Encode what the store does not have yet, a shard at a time.

    Args:
        recordings: Files with one channel or two, Moshi and the user.
        writer: The store.
        start: The codec.
        batch_size: Files that go through it at a time.

    Yields:
        The report, always the same one, after each batch.

    Raises:
        ValueError: if a file has changed since it was encoded.
    """
    report = EncodingReport()
    new = []
    for recording in recordings:
        if _is_known(recording, writer):
            report.known += 1
        else:
            new.append(recording)
    usable, report.bad = survey(new, min_seconds=_LEAST_SECONDS)
    yield report
    for first in range(0, len(usable), _SHARD_DIALOGUES):
        shard: list[CodedDialogue] = []
        by_length = sorted(usable[first : first + _SHARD_DIALOGUES], key=lambda r: (r.duration, r.path))
        for begin in range(0, len(by_length), batch_size):
            batch = _encoded(by_length[begin : begin + batch_size], writer.codec, start, report.bad)
            shard += batch
            report.encoded += len(batch)
            report.seconds += sum(d.entry.num_frames for d in batch) / writer.codec.frame_rate
            yield report
        if shard:
            writer.write_shard(shard)


class _Stream:
    """A file on its way through the codec."""

    def __init__(self, recording: Recording, codec: CodecIdentity):
        self.recording, self.codec = recording, codec
        self.channels = audio.probe(recording.path).channels
        if self.channels > 2:
            fix = "keep two of them: Moshi in the first, the user in the second"
            raise AudioError(recording.path, f"has {self.channels} channels", fix)
        self.words = read_words(recording)
        self.num_samples = 0
        self.codes: list[Tensor] = []
        seconds = BLOCK_FRAMES * codec.frame_size / codec.sample_rate
        self._blocks = audio.stream(recording.path, codec.sample_rate, block_seconds=seconds)

    def next_block(self) -> Tensor | None:
        """[C, S]; None: the file is over."""
        block = next(self._blocks, None)
        if block is not None:
            self.num_samples += block.shape[1]
        return block

    def coded(self) -> CodedDialogue:
        """All of it; the last frame is filled up with silence."""
        num_frames = -(-self.num_samples // self.codec.frame_size)
        path = self.recording.path
        entry = Entry(
            path=_name(path),
            bytes=path.stat().st_size,
            channels=self.channels,
            num_frames=num_frames,
            split=self.recording.split,
            num_words=None if self.words is None else len(self.words),
        )
        return CodedDialogue(entry, torch.cat(self.codes, dim=-1)[..., :num_frames], self.words)


def _encoded(
    recordings: Sequence[Recording], codec: CodecIdentity, start: Start, bad: list[BadFile]
) -> list[CodedDialogue]:
    """Files side by side; those that turn out bad are noted."""
    streams: list[_Stream] = []
    for recording in recordings:
        try:
            streams.append(_Stream(recording, codec))
        except ValueError as error:
            bad.append(_bad(recording, error))
    failed: set[_Stream] = set()
    encode = start(sum(stream.channels for stream in streams)) if streams else None
    while encode:
        blocks = [_block(stream, failed, bad) for stream in streams]
        longest = max((block.shape[1] for block in blocks if block is not None), default=0)
        if not longest:
            break
        longest += -longest % codec.frame_size
        wav = torch.zeros(sum(stream.channels for stream in streams), longest)
        row = 0
        for stream, block in zip(streams, blocks, strict=True):
            if block is not None:
                wav[row : row + stream.channels, : block.shape[1]] = block
            row += stream.channels
        codes = encode(wav[:, None]).to("cpu", torch.int16)  # [N, K, T]
        for stream, block, own in zip(streams, blocks, codes.split([s.channels for s in streams]), strict=True):
            if block is not None:
                stream.codes.append(own)
    return [stream.coded() for stream in streams if stream not in failed and stream.codes]


def _block(stream: _Stream, failed: set[_Stream], bad: list[BadFile]) -> Tensor | None:
    if stream in failed:
        return None
    try:
        return stream.next_block()
    except AudioError as error:
        failed.add(stream)
        bad.append(_bad(stream.recording, error))
        return None


def _is_known(recording: Recording, writer: CodeStoreWriter) -> bool:
    entry = writer.known.get(_name(recording.path))
    if entry is None:
        return False
    if recording.path.is_file() and recording.path.stat().st_size != entry.bytes:
        raise ValueError(
            f"{recording.path} has changed since it was encoded into {writer.folder}: encode into a new folder"
        )
    return True


def _name(path: Path) -> str:
    return str(Path(os.path.abspath(path)))  # noqa: PTH100 - links keep the names the user gave


def _bad(recording: Recording, error: ValueError) -> BadFile:
    reason = f"{error.problem}; {error.fix}" if isinstance(error, AudioError) else str(error)
    return BadFile(recording.path, reason)
