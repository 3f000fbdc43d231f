"""What the server counts and measures, as text for Prometheus."""

from collections import Counter, deque
from collections.abc import Mapping

import numpy as np

QUANTILES = (0.5, 0.9, 0.99, 1.0)
_RECENT = 4096


class Summary:
    """A number measured again and again: how often, its sum, and quantiles of the latest 4096."""

    def __init__(self) -> None:
        self.count, self.total = 0, 0.0
        self._recent: deque[float] = deque(maxlen=_RECENT)

    def add(self, value: float) -> None:
        """Take a measurement in."""
        self.count += 1
        self.total += value
        self._recent.append(value)

    def quantiles(self) -> Mapping[float, float]:
        """Share of measurements -> the value that they do not exceed; empty before the first."""
        recent = list(self._recent)
        return dict(zip(QUANTILES, map(float, np.quantile(recent, QUANTILES)), strict=True)) if recent else {}


class ServeMetrics:
    """Counters and times of one server. Each is written by one thread only.

    Args:
        frame_s: length of a frame: a reply that comes later after its frame than that is late.
    """

    def __init__(self, frame_s: float = 0.08):
        self.frame_s = frame_s
        self.sessions_total = self.late_frames = self.failed_steps = 0
        self.refused: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter(heard=0, spoken=0)
        self.step_seconds = Summary()
        self.frame_seconds = Summary()

    def frame_done(self, seconds: float) -> bool:
        """A reply is ready, so long after its frame was complete; returns whether that is late."""
        self.frame_seconds.add(seconds)
        late = seconds > self.frame_s
        self.late_frames += late
        return late

    def as_prometheus(self, *, sessions: int, max_sessions: int, queue_frames: int) -> str:
        """All of it in Prometheus' text format.

        Args:
            sessions: now.
            max_sessions: that there can be.
            queue_frames: of all clients that wait for the model now.
        """
        lines = [
            *_entry("sessions", "gauge", "Conversations now.", {"": sessions}),
            *_entry("max_sessions", "gauge", "Conversations that there can be.", {"": max_sessions}),
            *_entry("queue_frames", "gauge", "Frames that wait for the model now.", {"": queue_frames}),
            *_entry("sessions_total", "counter", "Conversations begun.", {"": self.sessions_total}),
            *_entry("refused_total", "counter", "Requests for one that were refused.", _by("reason", self.refused)),
            *_entry("ended_total", "counter", "Conversations ended.", _by("reason", self.ended)),
            *_entry("late_frames_total", "counter", "Replies later than a frame lasts.", {"": self.late_frames}),
            *_entry("dropped_frames_total", "counter", "Frames that gave way.", _by("side", self.dropped)),
            *_entry("failed_steps_total", "counter", "Steps of the model that failed.", {"": self.failed_steps}),
            *_summary("step_seconds", "Time of a step of all rows that were heard.", self.step_seconds),
            *_summary("frame_seconds", "From a whole frame to its reply.", self.frame_seconds),
        ]
        return "\n".join(lines) + "\n"


def _by(label: str, counts: Mapping[str, int]) -> dict[str, int]:
    return {f'{{{label}="{value}"}}': count for value, count in sorted(counts.items())}


def _entry(name: str, kind: str, meaning: str, values: Mapping[str, float]) -> list[str]:
    name = f"moshi_zoo_{name}"
    return [
        f"# HELP {name} {meaning}",
        f"# TYPE {name} {kind}",
        *(f"{name}{at} {value}" for at, value in values.items()),
    ]


def _summary(name: str, meaning: str, summary: Summary) -> list[str]:
    quantiles = {f'{{quantile="{share:g}"}}': value for share, value in summary.quantiles().items()}
    return _entry(name, "summary", meaning, {**quantiles, "_sum": summary.total, "_count": summary.count})
