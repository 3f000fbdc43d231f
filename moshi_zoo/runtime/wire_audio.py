"""Audio as it travels: what comes in any pieces becomes whole frames, and frames become bytes.

Each connection has one stream a direction, so an object of these belongs to one connection.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from moshi_zoo.runtime.protocol import AudioFormat

Samples = NDArray[np.float32]

_OPUS_PIECE = 256
"""Bytes that are decoded at once. A hostile page of Opus can hold hours in a few kilobytes: whoever counts the audio
between the pieces can stop in time."""
_MAX_SILENT_BYTES = 1 << 17
"""A page that never ends is kept by the decoder; no sane stream has so many bytes without a sample."""


class WireAudio(Protocol):
    """One connection's audio."""

    def decode(self, payload: bytes) -> Iterator[Samples]:
        """The samples [S] that these bytes complete, piece by piece. Raises ValueError if they are no such audio."""
        ...

    def encode(self, frame: Samples) -> bytes:
        """The bytes of a frame [S]."""
        ...


def wire_audio(form: AudioFormat, sample_rate: int) -> WireAudio:
    """What fits a format."""
    return OggOpus(sample_rate) if form == "opus" else Pcm16()


class OggOpus:
    """One Ogg stream of Opus a direction, mono. The pre-skip is not cut off: Kyutai's code keeps it too."""

    def __init__(self, sample_rate: int):
        import sphn

        self._reader = sphn.OpusStreamReader(sample_rate)
        self._writer = sphn.OpusStreamWriter(sample_rate)
        self._silent_bytes = 0

    def decode(self, payload: bytes) -> Iterator[Samples]:
        """See :class:`WireAudio`."""
        for start in range(0, len(payload), _OPUS_PIECE):
            piece = payload[start : start + _OPUS_PIECE]
            try:
                samples = self._reader.append_bytes(piece)
            except ValueError as error:
                raise ValueError(f"the audio is no Ogg stream of Opus: {error}") from error
            self._silent_bytes = 0 if samples.size else self._silent_bytes + len(piece)
            if self._silent_bytes > _MAX_SILENT_BYTES:
                raise ValueError(f"{self._silent_bytes} bytes of Ogg without a sample")
            yield samples

    def encode(self, frame: Samples) -> bytes:
        """See :class:`WireAudio`."""
        return self._writer.append_pcm(np.clip(frame, -1.0, 1.0))


class Pcm16:
    """Samples of 16 bits, little-endian, mono; a message may end within a sample."""

    def __init__(self) -> None:
        self._rest = b""

    def decode(self, payload: bytes) -> Iterator[Samples]:
        """See :class:`WireAudio`."""
        payload = self._rest + payload
        whole = len(payload) // 2 * 2
        self._rest = payload[whole:]
        yield np.frombuffer(payload[:whole], "<i2").astype(np.float32) / np.float32(32768)

    def encode(self, frame: Samples) -> bytes:
        """See :class:`WireAudio`."""
        return np.clip((frame * 32768).round(), -32768, 32767).astype("<i2").tobytes()


class Framer:
    """Cuts a stream of samples into frames."""

    def __init__(self, frame_size: int):
        self.frame_size = frame_size
        self._rest = np.zeros(0, np.float32)

    def cut(self, samples: Samples) -> Iterator[Samples]:
        """The frames [frame_size] that these samples complete."""
        self._rest = np.concatenate([self._rest, samples])
        while len(self._rest) >= self.frame_size:
            frame, self._rest = self._rest[: self.frame_size], self._rest[self.frame_size :]
            yield frame
