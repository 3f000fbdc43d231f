"""``data align``: when each word and phoneme of recordings with known texts is said."""

import itertools
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.progress import Progress

if TYPE_CHECKING:
    from moshi_zoo.data.manifest import Recording

_FIELDS = ("duration", "split", "speaker", "text", "words", "kind", "phonemes")
_SHOWN = 5  # of those that could not be aligned


def align(
    source: str,
    *,
    out: Path,
    transcriber: Literal["none", "faster-whisper"] = "none",
    whisper_model: str | None = None,
) -> None:
    """Find the times of words and phonemes in recordings whose texts are known (English; needs moshi_zoo[align]).

    Recordings without a text can be transcribed by Whisper first, which times their words itself.

    Writes a manifest of all recordings of the source: --data.source takes it, recipes/with/phonemes.yaml learns from
    it, and `evaluate codec` compares its words and phonemes.

    Args:
        source: a folder with a manifest.jsonl, or the manifest; recordings without a text stay as they are.
        out: the manifest to write; reasons of those that could not be aligned go to OUT.failed.jsonl.
        transcriber: who writes down recordings without a text: nobody (none), or faster-whisper, which must be
            installed.
        whisper_model: name or folder of its model; a name may be downloaded. small, if not given.
    """
    from moshi_zoo.data import whisper
    from moshi_zoo.data.align import aligned
    from moshi_zoo.data.manifest import find

    recordings = find(source)
    spoken = [recording for recording in recordings if recording.text]
    silent = [recording for recording in recordings if not recording.text] if transcriber != "none" else []
    if not spoken and not silent:
        raise ValueError(
            f'{source}: no recording has a text; give a manifest.jsonl whose lines have "text", such as `data scan` '
            "makes of .txt files, or --transcriber faster-whisper"
        )
    wanted = [*spoken, *silent]
    found: dict[Path, Recording] = {}
    failed: list[dict[str, str]] = []
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        timed = itertools.chain(
            aligned(spoken) if spoken else (),
            whisper.transcribed(silent, whisper_model or whisper.MODEL) if silent else (),
        )
        results = progress.track(timed, total=len(wanted), description="aligning")
        for recording, result in zip(wanted, results, strict=True):
            if isinstance(result, ValueError):
                failed.append({"path": str(recording.path), "reason": str(result)})
            else:
                found[recording.path] = result
    if not found:
        raise ValueError(f"none of {len(wanted)} texts could be aligned; the first: {failed[0]['reason']}")
    out.parent.mkdir(parents=True, exist_ok=True)
    _write(out, [_line(found.get(recording.path, recording), out.parent) for recording in recordings])
    print(f"{out}: {len(recordings)} recordings, {len(found)} of {len(wanted)} texts aligned")
    if failed:
        report = out.with_name(out.name + ".failed.jsonl")
        _write(report, failed)
        print(*(f"  {failure['reason']}" for failure in failed[:_SHOWN]), sep="\n")
        print(f"  all {len(failed)} are in {report}")


def _line(recording: "Recording", folder: Path) -> dict[str, Any]:
    path = recording.path.absolute()
    home = folder.absolute()
    known = {name: value for name in _FIELDS if (value := getattr(recording, name)) is not None}
    return {"path": str(path.relative_to(home) if path.is_relative_to(home) else path), **known}


def _write(path: Path, lines: list[dict[str, Any]]) -> None:
    """All at once: a manifest is whole, or not there."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as draft:
        draft.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    os.chmod(draft.name, 0o644)  # noqa: PTH101 - the name is all there is
    Path(draft.name).replace(path)
