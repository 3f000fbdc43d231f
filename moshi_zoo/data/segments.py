"""Segments of speech for the codec: the data module that turns a source of recordings into batches of waveforms."""

import re
from pathlib import Path

from lightning import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from moshi_zoo.data import synthetic
from moshi_zoo.data.loader import EvaluationLoader, Process, TrainLoader
from moshi_zoo.data.manifest import find
from moshi_zoo.data.splits import Span, Splits, split
from moshi_zoo.data.survey import BadFile, BadFiles, survey
from moshi_zoo.data.tracks import PhonemeTrack, Track
from moshi_zoo.data.windows import FixedWindows, RandomWindows, Recordings, Window, collate

Batch = dict[str, Tensor]

_NOT_SPEECH = ("noise", "rir")  # kinds of recordings that a manifest may mark
_LEAST_BATCHES = 8  # an epoch of a very small corpus goes over it several times


class SegmentData(LightningDataModule):
    """Mono segments of recordings, resampled: ``{wav [B, 1, S] float32, num_samples [B], index [B]}``.

    Training segments are random windows in proportion to duration; an epoch has about as many as fit into the corpus.
    They say where they come from: ``recording [B]``, a place in ``recordings``, and its sample ``start [B]``. Where the
    manifest has phonemes they bring these along: ``phonemes [B, N]`` int64 at 50 Hz.
    Validation segments are the same whole windows every time. Files that cannot be used are left out, counted, and
    listed with the reason in ``bad_files.jsonl`` in the run folder.

    Args:
        source: Folder of recordings (wav, flac, mp3, ogg ..., any sample rate), a ``manifest.jsonl``, one audio file,
            or ``synthetic``: espeak-ng speech made at first use, 40 minutes of it; ``synthetic:5`` makes 5 minutes.
            Several are put together.
        seconds: Length of a training segment. Shorter files are padded with zeros; ``num_samples`` has the true length.
        batch_size: Segments of a batch, per process.
        sample_rate: Sample rate of the segments in Hz.
        num_workers: Processes that read ahead; 0 reads in the training process. Batches do not depend on it.
        gain_db: Range of the random gain of training segments in dB. What would clip is turned down.
        validation_share: Share of the audio held out where no manifest marks ``valid`` or ``test`` recordings: whole
            speakers where possible, else files, else the end of the longest file.
        validation_seconds: Length of a validation segment.
        validation_items: Number of validation segments.
        min_seconds: Shorter files count as bad.
        silence_db: Quieter segments (RMS, full scale = 0 dB) are drawn again; a file that is all quieter counts as bad.
        max_bad_share: Share of bad files that stops the run.
        seed: Of the order, the windows, the gains, and who is held out.

    Raises:
        ValueError: from ``setup`` if the source has nothing to train on, or too much of it is bad.
    """

    def __init__(
        self,
        source: str | list[str] = "synthetic",
        seconds: float = 1.28,
        batch_size: int = 16,
        sample_rate: int = 24000,
        num_workers: int = 0,
        gain_db: tuple[float, float] = (-6.0, 6.0),
        validation_share: float = 0.05,
        validation_seconds: float = 4.0,
        validation_items: int = 32,
        min_seconds: float = 0.1,
        silence_db: float = -60.0,
        max_bad_share: float = 0.1,
        seed: int = 0,
    ):
        super().__init__()
        _require(seconds > 0, "seconds", seconds, "positive")
        _require(batch_size >= 1, "batch_size", batch_size, "1 or more")
        _require(sample_rate >= 1, "sample_rate", sample_rate, "positive")
        _require(len(gain_db) == 2 and gain_db[0] <= gain_db[1], "gain_db", gain_db, "a range such as [-6, 6]")
        _require(0 < validation_share <= 0.5, "validation_share", validation_share, "above 0 and up to 0.5")
        _require(validation_seconds > 0, "validation_seconds", validation_seconds, "positive")
        _require(validation_items >= 1, "validation_items", validation_items, "1 or more")
        _require(0 <= max_bad_share <= 1, "max_bad_share", max_bad_share, "between 0 and 1")
        _require(seed >= 0, "seed", seed, "0 or more")
        self.sources = [source] if isinstance(source, str) else source
        _require(len(self.sources) >= 1, "source", source, "at least one")
        self.sample_rate, self.seed = sample_rate, seed
        self.seconds, self.batch_size, self.num_workers = seconds, batch_size, num_workers
        self.gain_db = (gain_db[0], gain_db[1])
        self.validation_share, self.validation_seconds = validation_share, validation_seconds
        self.validation_items = validation_items
        self.min_seconds, self.silence_db, self.max_bad_share = min_seconds, silence_db, max_bad_share
        self.splits: Splits | None = None
        self.tracks: dict[str, Track] = {}
        self.bad_files: BadFiles | None = None

    @property
    def report_path(self) -> Path | None:
        """Where bad files are listed: in the run folder, a file for each process. None without a trainer."""
        if self.trainer is None:
            return None
        rank = self.trainer.global_rank
        return Path(self.trainer.default_root_dir) / ("bad_files.jsonl" if rank == 0 else f"bad_files.rank{rank}.jsonl")

    @property
    def recordings(self) -> Recordings:
        """All that training segments are cut from, whole."""
        return Recordings(self._ready().train, self.sample_rate)

    def prepare_data(self) -> None:
        """Make the synthetic corpus, if that is the source; once a machine."""
        for source in self.sources:
            _find(source)

    def setup(self, stage: str | None = None) -> None:
        """Find the recordings, look at their headers, divide them into splits."""
        if self.splits is not None:
            return
        found = [recording for source in self.sources for recording in find(_find(source))]
        speech = [recording for recording in found if recording.kind not in _NOT_SPEECH]
        usable, bad = survey(speech, min_seconds=self.min_seconds, quiet=self._process.rank > 0)
        summary = f"{len(found)} files, {len(found) - len(speech)} of them noise, {len(bad)} bad"
        self.bad_files = BadFiles(len(speech), self.max_bad_share, self.report_path)
        self.bad_files.add(bad)
        if not usable:
            raise ValueError(f"{self._sources} holds no speech that can be used: {summary}")
        if any(recording.phonemes for recording in usable):
            self.tracks["phonemes"] = PhonemeTrack(usable)
        self.splits = split(usable, validation_share=self.validation_share, seed=self.seed)
        split_minutes = f"{_minutes(self.splits.train)} to train, {_minutes(self.splits.valid)} to validate"
        rank_zero_info(f"{self._sources}: {summary}; {split_minutes}")

    def train_dataloader(self) -> TrainLoader[Window, Batch]:
        """Random segments, resumable."""
        splits = self._ready()
        if not splits.train:
            raise ValueError(f"{self._sources} has nothing to train on: all its recordings are marked as valid or test")
        seconds = sum(span.duration for span in splits.train)
        num_items = max(round(seconds / self.seconds), _LEAST_BATCHES * self.batch_size * self._process.world_size)
        dataset = RandomWindows(
            splits.train,
            num_samples=round(self.seconds * self.sample_rate),
            sample_rate=self.sample_rate,
            num_items=num_items,
            gain_db=self.gain_db,
            silence_db=self.silence_db,
            seed=self.seed,
            tracks=self.tracks,
        )
        return TrainLoader(
            dataset,
            num_items=num_items,
            batch_size=self.batch_size,
            collate=collate,
            finish=self._without_bad_files,
            seed=self.seed,
            process=self._process,
            num_workers=self.num_workers,
        )

    def val_dataloader(self) -> EvaluationLoader[Window, Batch]:
        """The fixed segments of the validation recordings."""
        return self._evaluation_loader(self._ready().valid)

    def test_dataloader(self) -> EvaluationLoader[Window, Batch]:
        """The fixed segments of the test recordings, or of the validation recordings if none are marked."""
        return self._evaluation_loader(self._ready().test)

    def _evaluation_loader(self, spans: list[Span]) -> EvaluationLoader[Window, Batch]:
        dataset = FixedWindows(
            spans,
            num_samples=round(self.validation_seconds * self.sample_rate),
            sample_rate=self.sample_rate,
            num_items=self.validation_items,
            silence_db=self.silence_db,
        )
        self._note_bad_files(dataset.bad)
        return EvaluationLoader(
            dataset,
            num_items=len(dataset),
            batch_size=self.batch_size,
            collate=collate,
            finish=self._without_bad_files,
            process=self._process,
            num_workers=self.num_workers,
        )

    @property
    def _sources(self) -> str:
        return " + ".join(self.sources)

    @property
    def _process(self) -> Process:
        return Process(self.trainer.global_rank, self.trainer.world_size) if self.trainer else Process()

    def _without_bad_files(self, batch_and_bad: tuple[Batch, list[BadFile]]) -> Batch:
        batch, bad = batch_and_bad
        self._note_bad_files(bad)
        return batch

    def _note_bad_files(self, bad: list[BadFile]) -> None:
        assert self.bad_files is not None, "setup() comes before the loaders"
        self.bad_files.add(bad)

    def _ready(self) -> Splits:
        if self.splits is None:
            self.setup()
        assert self.splits is not None
        return self.splits


def _require(holds: bool, name: str, value: object, rule: str) -> None:
    if not holds:
        raise ValueError(f"{name} is {value!r}; it must be {rule}")


def _minutes(spans: list[Span]) -> str:
    return f"{sum(span.duration for span in spans) / 60:.1f} min"


def _find(source: str) -> str | Path:
    """A source as a file or folder: the synthetic corpus is made if need be."""
    name, _, minutes = source.partition(":")
    if name != "synthetic":
        return source
    _require(re.fullmatch(r"(\d+(\.\d+)?)?", minutes) is not None, "source", source, "synthetic:MINUTES")
    return synthetic.prepare(float(minutes)) if minutes else synthetic.prepare()
