"""``data scan``: what is wrong with recordings, before anybody trains on them."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.progress import Progress

if TYPE_CHECKING:
    from moshi_zoo.data.scan import Scanned

_SHOWN = 30  # files in the table; those with problems come first
_LEAST_MINUTES = 1.0  # of a voice


def scan(
    source: str,
    *,
    out: Path | None = None,
    report: Path | None = None,
    kind: Literal["auto", "voice", "conversations"] = "auto",
    held_out: float = 0.15,
) -> None:
    """Look through recordings of one person, or conversations with a channel for each speaker, and say what is wrong.

    Clipping, noise, level, bandwidth, silence, doubles, transcripts (a .txt or .json beside each file), and in
    conversations mono, crosstalk and swapped channels. Exit code 2 if nothing can be used.

    Args:
        source: a folder of recordings, or a manifest.jsonl.
        out: the manifest of what can be used to write, for `data align` and `data encode`.
        report: JSON file to write: what was measured of each file.
        kind: one person's recordings (voice), conversations in two channels, the voice to learn in the first
            (conversations), or what most files look like (auto).
        held_out: share of a voice's recordings that are marked as valid where no manifest says: training measures
            itself by them.
    """
    if not 0 <= held_out <= 0.5:
        raise ValueError(f"held_out is {held_out}; it must be 0 to 0.5")

    from moshi_zoo.data import scan as scanning
    from moshi_zoo.data.manifest import find

    recordings = [recording for recording in find(source) if recording.kind not in ("noise", "rir")]
    conversations = kind == "conversations" or (kind == "auto" and _are_conversations(recordings))
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        results = scanning.scan(recordings, conversations=conversations)
        found = list(progress.track(results, total=len(recordings), description="listening"))
    usable = [item for item in found if item.usable]
    print(_table(found))
    print(_sum(found, usable, conversations=conversations))
    if report:
        _write(report, json.dumps([_measured(item) for item in found], indent=1, ensure_ascii=False) + "\n")
    if not usable:
        raise ValueError(f"none of the {len(found)} recordings in {source} can be used; what to do is said above")
    if out:
        lines = [_line(item, out.parent, 0.0 if conversations else held_out) for item in usable]
        _write(out, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        print(f"{out}: {len(usable)} of {len(found)} recordings")
    print(_next(usable, out, conversations=conversations))


def _are_conversations(recordings: list[Any]) -> bool:
    from moshi_zoo.data.audio import AudioError
    from moshi_zoo.data.scan import looks_like_conversations
    from moshi_zoo.data.scan_sound import listen

    sounds = []
    for recording in recordings[:: max(len(recordings) // 8, 1)]:
        try:
            sounds.append(listen(recording.path))
        except AudioError:
            continue
    return looks_like_conversations(sounds)


def _table(found: "list[Scanned]") -> str:
    from moshi_zoo.evaluation.presentation import as_markdown_table

    rows = [["file", "s", "kHz", "channels", "speech dB", "noise dB", "speech", "what is wrong"]]
    for item in sorted(found, key=lambda item: (item.usable, not item.problems, item.recording.path))[:_SHOWN]:
        problems = ", ".join(f"{name} ({fact})" if fact else name for name, fact in item.problems.items())
        rows.append([item.recording.path.name, *_figures(item), ("" if item.usable else "UNUSABLE: ") + problems])
    more = len(found) - _SHOWN
    return as_markdown_table(rows) + (f"\n... and {more} more" if more > 0 else "")


def _figures(item: "Scanned") -> list[str]:
    sound = item.sound
    if sound is None:
        return [""] * 6
    voice = sound.channels[0]
    return [
        f"{sound.seconds:.1f}",
        f"{sound.sample_rate / 1000:g}",
        str(len(sound.channels)),
        f"{voice.level_db:.0f}",
        f"{voice.noise_db:.0f}",
        f"{voice.speech_s / sound.seconds:.0%}",
    ]


def _sum(found: "list[Scanned]", usable: "list[Scanned]", *, conversations: bool) -> str:
    from moshi_zoo.data.scan import ADVICE

    counts = Counter(problem for item in found for problem in item.problems)
    what = "conversations" if conversations else "recordings of a voice"
    minutes = sum(item.speech_s for item in usable) / 60
    lines = [f"\n{len(found)} {what}, {len(usable)} can be used: {minutes:.1f} minutes of speech"]
    lines += [f"  {count} {problem}: {ADVICE[problem]}" for problem, count in counts.most_common()]
    return "\n".join(lines)


def _next(usable: "list[Scanned]", out: Path | None, *, conversations: bool) -> str:
    manifest = out or Path("MANIFEST.jsonl")
    aligned = manifest.with_name(f"{manifest.stem}.aligned.jsonl")
    without = any(item.recording.text is None for item in usable)
    align = [f"data align {manifest} --out {aligned}{' --transcriber faster-whisper' if without else ''}"]
    if all(item.words for item in usable):
        align, aligned = [], manifest
    lines = ["next:"] if out else ["next: scan again with --out MANIFEST.jsonl, then"]
    if conversations:
        fit = "fit --config recipes/moshi/lora.yaml --init_from.net MODEL --data.source STORE"
        return "\n  ".join([*lines, *align, f"data encode {aligned} --model CODEC --out STORE", fit])
    replay = "data replay DIALOGUES --model MODEL --out REPLAY"
    small = [
        "for a small Moshi:",
        f"{replay} --keep-voice",
        f"data revoice REPLAY --voice {manifest} --model CODEC --out NEW",
        "fit --config recipes/nano/voice.yaml --init_from.net MODEL --data.source NEW",
    ]
    large = [
        "for a large one:",
        *align,
        f"data encode {aligned} --model CODEC --view monologue --out VOICE",
        replay,
        "fit --config recipes/voice/lora.yaml --init_from.net MODEL --data.source VOICE:0.5,REPLAY:0.5",
    ]
    text = "\n".join([*lines, *("\n    ".join(["  " + way[0], *way[1:]]) for way in (small, large))])
    if (minutes := sum(item.speech_s for item in usable) / 60) < _LEAST_MINUTES:
        text += f"\n{minutes:.1f} minutes are little: a voice is learnt well from about two on"
    return text


def _line(item: "Scanned", folder: Path, held_out: float) -> dict[str, Any]:
    recording, home = item.recording, folder.absolute()
    path = recording.path.absolute()
    lot = int.from_bytes(hashlib.sha256(path.name.encode()).digest()[:4], "big") / 2**32
    known = {
        "path": str(path.relative_to(home) if path.is_relative_to(home) else path),
        "duration": round(recording.duration or 0.0, 4),
        "speaker": recording.speaker or path.parent.name,
        "split": recording.split or ("valid" if lot < held_out else "train"),
        "text": recording.text,
        "words": recording.words,
    }
    return {name: value for name, value in known.items() if value is not None}


def _measured(item: "Scanned") -> dict[str, Any]:
    sound = item.sound
    facts: dict[str, Any] = {"path": str(item.recording.path), "usable": item.usable, "problems": item.problems}
    if sound is None:
        return facts
    facts |= {"seconds": round(sound.seconds, 3), "sample_rate": sound.sample_rate, "text": item.recording.text}
    names = ("speech_s", "level_db", "noise_db", "snr_db", "clipped", "highest_hz")
    facts["channels"] = [{name: round(getattr(channel, name), 5) for name in names} for channel in sound.channels]
    return facts | {"channels_alike": sound.alike, "crosstalk": sound.leak}


def _write(path: Path, text: str) -> None:
    from moshi_zoo.data.alignments import write_whole

    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)
