"""Dialogues that are spoken and encoded at once, in several processes: a store of codes, and no sound on disk.

Dialogues come in blocks, each spoken and encoded as a whole by one process. So what a dialogue is depends on its number
alone: not on the processes, nor on where a run began or stopped.
"""

import contextlib
import functools
import json
import multiprocessing
import os
import pickle
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count

import torch
from torch import Tensor

from moshi_zoo.data import code_encoding
from moshi_zoo.data.alignments import write_whole
from moshi_zoo.data.code_encoding import Start, encode_side_by_side
from moshi_zoo.data.code_store import CodecIdentity, CodedDialogue, CodeStoreWriter, Entry
from moshi_zoo.data.code_views import View, to_mono
from moshi_zoo.data.dialogue_audio import SAMPLE_RATE
from moshi_zoo.data.dialogue_corpus import BLOCK, Corpus, Speaker, Take, check_same

_SHARD_DIALOGUES = 256  # what a run that is stopped may lose
_SETTINGS = "dialogues.json"
_BATCH = 4  # dialogues that go through the codec at a time
_AHEAD = 2  # blocks that wait for each process


@dataclass(frozen=True)
class Goal:
    """How much to make: so many dialogues, or so many that they last so long.

    Raises:
        ValueError: if it is not one of the two.
    """

    dialogues: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if (self.dialogues is None) == (self.minutes is None) or (self.dialogues or self.minutes or 0) <= 0:
            raise ValueError(
                f"dialogues is {self.dialogues} and minutes {self.minutes}: one of them must be more than 0"
            )


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Args:
        dialogues: How many there are.
        seconds: Their length.
        made: How many of them this run has made.
    """

    dialogues: int = 0
    seconds: float = 0.0
    made: int = 0

    def reaches(self, goal: Goal) -> bool:
        """Whether this is enough."""
        if goal.dialogues is not None:
            return self.dialogues >= goal.dialogues
        return goal.minutes is not None and self.seconds >= goal.minutes * 60


def fill(
    writer: CodeStoreWriter,
    corpus: Corpus,
    open_codec: Callable[[], Start],
    goal: Goal,
    *,
    view: View = "recorded",
    processes: int = 1,
) -> Iterator[Progress]:
    """Make dialogues, or those that are still missing; a store may hold several splits.

    The same settings give the same codes again, and a longer corpus begins with a shorter one.

    Args:
        writer: The store.
        corpus: What the dialogues are.
        open_codec: Loads the codec. With several processes, each calls it, on one thread.
        goal: How many.
        view: ``recorded``: Moshi and the user in channels of their own; ``mono``: both in one.
        processes: That speak and encode.

    Yields:
        How far it is: at the beginning, and after each block of dialogues.

    Raises:
        ValueError: if the store holds other dialogues, or the codec works at another sample rate; for the view
            ``duplex``.
    """
    codec = writer.codec
    if view == "duplex":
        raise ValueError("these dialogues have their speakers in channels of their own: the view duplex is for others")
    if codec.sample_rate != SAMPLE_RATE:
        raise ValueError(f"dialogues are spoken at {SAMPLE_RATE} Hz, but {codec.name} works at {codec.sample_rate}")
    _check_settings(writer, corpus, view)
    there = progress = _beginning(writer, corpus, goal)
    yield progress
    if progress.reaches(goal):
        return
    first = there.dialogues // BLOCK * BLOCK
    begins = count(first, BLOCK) if goal.dialogues is None else range(first, goal.dialogues, BLOCK)
    shard: list[CodedDialogue] = []
    with contextlib.closing(_blocks(_Work(corpus, codec, open_codec, view), begins, processes)) as blocks:
        for number, block in enumerate(blocks, start=first // BLOCK):
            for dialogue in block[max(there.dialogues - number * BLOCK, 0) :]:
                if progress.reaches(goal):
                    break
                if dialogue.entry.path not in writer.known:  # it may be, behind a shard that was removed
                    shard.append(dialogue)
                seconds = dialogue.entry.num_frames / codec.frame_rate
                progress = Progress(progress.dialogues + 1, progress.seconds + seconds, progress.made + 1)
            if shard and (len(shard) >= _SHARD_DIALOGUES or progress.reaches(goal)):
                writer.write_shard(shard)
                shard = []
            yield progress
            if progress.reaches(goal):
                return


@dataclass(frozen=True)
class _Work:
    """What a process has to know."""

    corpus: Corpus
    codec: CodecIdentity
    open_codec: Callable[[], Start]
    view: View


class _Worker:
    """Speaks and encodes blocks of dialogues."""

    def __init__(self, work: _Work):
        self.work, self.speaker, self.start = work, Speaker(work.corpus), work.open_codec()

    def block(self, begin: int) -> list[CodedDialogue]:
        """The dialogues of a block; those of like length go through the codec together."""
        self.speaker.begin_block()
        takes = [self.speaker.speak(number) for number in range(begin, begin + BLOCK)]
        by_length = sorted(takes, key=lambda take: take.spoken.wav.shape[1])
        coded = [d for i in range(0, BLOCK, _BATCH) for d in self._coded(by_length[i : i + _BATCH])]
        return sorted(coded, key=lambda dialogue: dialogue.entry.path)

    def _coded(self, takes: list[Take]) -> list[CodedDialogue]:
        frame_size = self.work.codec.frame_size
        wavs = [_as_from_a_file(take.spoken.wav) for take in takes]
        if self.work.view == "mono":
            wavs = [to_mono(wav) for wav in wavs]
        blocks = [iter(wav.split(code_encoding.BLOCK_FRAMES * frame_size, dim=1)) for wav in wavs]
        codes = encode_side_by_side(blocks, [len(wav) for wav in wavs], frame_size, self.start)
        return [self._dialogue(take, own) for take, own in zip(takes, codes, strict=True)]

    def _dialogue(self, take: Take, codes: Tensor) -> CodedDialogue:
        split, words = self.work.corpus.split, take.spoken.words
        path = _path(split, take.number)
        entry = Entry(path, 0, codes.shape[0], codes.shape[-1], split, len(words), view=self.work.view)
        return CodedDialogue(entry, codes, words, take.about)


def _as_from_a_file(wav: Tensor) -> Tensor:
    """With the 16 bits of a wav file, so that the codes are those of `data encode`."""
    return (wav * 32768).floor() / 32768  # libsndfile does not round


def _blocks(work: _Work, begins: Iterable[int], processes: int) -> Generator[list[CodedDialogue], None, None]:
    """The blocks that begin with these numbers, in order."""
    if processes == 1:
        worker = _Worker(work)
        for begin in begins:
            with _one_thread():
                block = worker.block(begin)
            yield block
        return
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, spawn, initializer=_begin_work, initargs=(work,))
    try:
        waiting: deque[Future[bytes]] = deque()
        for begin in begins:
            waiting.append(pool.submit(_pickled_block, begin))
            if len(waiting) > _AHEAD * processes:
                yield _received(waiting.popleft())
        while waiting:
            yield _received(waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


_make_worker: Callable[[], _Worker] | None = None  # of a process of the pool


def _begin_work(work: _Work) -> None:
    global _make_worker
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _make_worker = functools.cache(partial(_Worker, work))


def _pickled_block(begin: int) -> bytes:
    """As bytes: torch would send each tensor in a file of its own.

    Raises:
        ValueError: as the worker, in a form that travels.
    """
    assert _make_worker is not None
    try:
        return pickle.dumps(_make_worker().block(begin))
    except ValueError as error:
        raise ValueError(str(error)) from error


def _received(block: Future[bytes]) -> list[CodedDialogue]:
    try:
        return pickle.loads(block.result())
    except ValueError as error:  # of the other process: without its traceback
        raise ValueError(str(error)) from None


def _end_with_parent() -> None:
    """A killed run leaves no processes behind."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """As in a pool: the number of threads may change the last bits of a sum."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _path(split: str, number: int) -> str:
    return f"{split}/{number:06d}"


def _beginning(writer: CodeStoreWriter, corpus: Corpus, goal: Goal) -> Progress:
    """The dialogues that are there without a gap from the first one on, as far as they are wanted."""
    progress = Progress()
    while not progress.reaches(goal) and (entry := writer.known.get(_path(corpus.split, progress.dialogues))):
        seconds = entry.num_frames / writer.codec.frame_rate
        progress = Progress(progress.dialogues + 1, progress.seconds + seconds)
    return progress


def _check_settings(writer: CodeStoreWriter, corpus: Corpus, view: View) -> None:
    """Note what dialogues a split has, or compare."""
    file = writer.folder / _SETTINGS
    known = json.loads(file.read_bytes()) if file.is_file() else {}
    settings = {**corpus.settings, "view": view}
    if corpus.split in known and any(entry.path.startswith(f"{corpus.split}/") for entry in writer.known.values()):
        check_same(known[corpus.split], settings, f"the split {corpus.split} of {writer.folder}")
    else:
        write_whole(file, json.dumps({**known, corpus.split: settings}, indent=1) + "\n")
