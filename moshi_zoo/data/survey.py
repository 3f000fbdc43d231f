"""What can be used of a set of recordings: headers are looked at once, bad files are counted, listed and reported."""

import dataclasses
import json
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from moshi_zoo.data import audio
from moshi_zoo.data.audio import AudioError
from moshi_zoo.data.manifest import Recording

log = logging.getLogger(__name__)

_THREADS = 8  # headers wait for the disk or the network, not for the processor


@dataclass(frozen=True)
class BadFile:
    """A file that is left out, and why."""

    path: Path
    reason: str


def survey(
    recordings: Sequence[Recording], *, min_seconds: float, quiet: bool = False
) -> tuple[list[Recording], list[BadFile]]:
    """Read the headers of all files, in threads, with a progress bar.

    Args:
        recordings: What to look at.
        min_seconds: Shorter files are bad.
        quiet: Show no progress.

    Returns:
        The usable recordings, with the durations of their headers, and the bad files; both in the order given.
    """
    usable, bad = [], []
    console = Console(stderr=True)
    progress = Progress(console=console, transient=True, disable=quiet or not console.is_terminal)
    with progress, ThreadPoolExecutor(_THREADS) as threads:
        results = threads.map(lambda recording: _probe(recording, min_seconds), recordings)
        for result in progress.track(results, total=len(recordings), description="looking at the recordings"):
            (bad if isinstance(result, BadFile) else usable).append(result)
    return usable, bad


class BadFiles:
    """The account of bad files: each is counted once, written to the report, and too many stop the run.

    Args:
        num_files: How many files there are in all.
        max_share: The share of them that may be bad, 0 to 1.
        report: Where to write ``{"path": ..., "reason": ...}`` a line; None: nowhere. An older report is replaced.
    """

    def __init__(self, num_files: int, max_share: float, report: Path | None = None):
        self.num_files, self.max_share, self.report = num_files, max_share, report
        self.files: dict[Path, BadFile] = {}
        if report:
            report.unlink(missing_ok=True)

    def add(self, found: Iterable[BadFile]) -> None:
        """Take note of bad files; those known already count once.

        Raises:
            ValueError: if there are now more than the allowed share.
        """
        new = [bad for bad in found if bad.path not in self.files]
        if not new:
            return
        self.files.update({bad.path: bad for bad in new})
        if self.report:
            self.report.parent.mkdir(parents=True, exist_ok=True)
            with self.report.open("a", encoding="utf-8") as report:
                report.writelines(json.dumps({"path": str(b.path), "reason": b.reason}) + "\n" for b in new)
        listed = f"; all are listed in {self.report}" if self.report else ""
        examples = "".join(f"\n  {bad.path}: {bad.reason}" for bad in new[:5]) + ("\n  ..." if len(new) > 5 else "")
        count = f"{len(self.files)} of {self.num_files} files cannot be used"
        if len(self.files) > self.max_share * self.num_files:
            allowed = f"more than the {self.max_share:.0%} that max_bad_share allows"
            raise ValueError(f"{count}, {allowed}{listed}. Mend or remove them, for example:{examples}")
        log.warning("%s and are left out%s:%s", count, listed, examples)


def _probe(recording: Recording, min_seconds: float) -> Recording | BadFile:
    try:
        duration = audio.probe(recording.path).duration
    except AudioError as error:
        return BadFile(recording.path, f"{error.problem}; {error.fix}")
    if duration < min_seconds:
        return BadFile(recording.path, f"is too short: {duration:.3f} s, min_seconds is {min_seconds:g}")
    return dataclasses.replace(recording, duration=duration)
