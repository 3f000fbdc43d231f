"""The codec's side of a batch of conversations: frames of sound to codes and back, each row with streams of its own."""

from collections.abc import Collection, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moshi_zoo.models.mimi import Mimi
from moshi_zoo.models.moshi import Moshi
from moshi_zoo.modules.columns import store_by_columns
from moshi_zoo.runtime.compiled import Compiled, Tell
from moshi_zoo.runtime.pair import check_pair
from moshi_zoo.runtime.rows import admit


class Voices:
    """Streams of users and of Moshi, both directions.

    Args:
        moshi: speaks in the codec's codes.
        codec: the codec. On a CPU its weights change places in memory.
        batch_size: conversations B.
        compiling: compile both directions, and tell so; None: they are not compiled. The codec's entries are then those
            of now, for good.
    """

    def __init__(self, moshi: Moshi, codec: Mimi, batch_size: int, *, compiling: Tell | None = None):
        check_pair(moshi, codec)
        store_by_columns(codec)
        self._codec, self._num_codebooks = codec, moshi.num_user_codebooks
        self._device = moshi.initial_text.device
        with torch.inference_mode():
            self._state = codec.init_state(batch_size, max_frames=1)
            self._hearing, self._speaking = (
                torch.zeros(batch_size, dtype=torch.bool, device=self._device) for _ in range(2)
            )
        self._state.encoder.set_active(self._hearing)
        self._state.decoder.set_active(self._speaking)
        self._heard = torch.zeros(batch_size, 1, codec.frame_size)  # on the CPU, where sound comes from
        self._wav = self._heard.to(self._device, copy=True)
        self._encode, self._decode = self._encoded, self._decoded
        self._is_compiled = compiling is not None
        if compiling is not None:
            for codebook in codec.quantizer.codebooks:
                codebook.fix()
            self._encode = Compiled(self._encoded, "the codec's encoder", compiling, long=True)
            self._decode = Compiled(self._decoded, "the codec's decoder", compiling, long=True)

    def reset(self, row: int) -> None:
        """Begin both streams of a row anew."""
        self._state.reset(torch.arange(len(self._heard), device=self._device) == row)

    def hear(self, heard: Mapping[int, NDArray[np.float32]]) -> None:
        """Take in a frame of some users."""
        for row, frame in heard.items():
            self._heard[row, 0] = torch.from_numpy(frame)
        self._wav.copy_(self._heard)
        admit(heard, self._state.encoder, self._hearing, always_masked=self._is_compiled)

    def encode(self, given: Tensor) -> Tensor:
        """Codes of what has just been heard, int64 [B, user codebooks, 1]; those given, where nothing was."""
        return self._encode(given) if self._num_codebooks else given

    def admit(self, rows: Collection[int]) -> None:
        """Let these rows speak in the next frame, and no others."""
        admit(rows, self._state.decoder, self._speaking, always_masked=self._is_compiled)

    def decode(self, codes: Tensor) -> Tensor:
        """Sound [B, frame_size] of a frame int64 [B, K, 1]; that of rows that do not speak means nothing."""
        return self._decode(codes)

    def _encoded(self, given: Tensor) -> Tensor:
        codes = self._codec.encode(self._wav, self._num_codebooks, state=self._state.encoder)
        return torch.where(self._hearing[:, None, None], codes, given)

    def _decoded(self, codes: Tensor) -> Tensor:
        return self._codec.decode(codes.clamp(min=0), state=self._state.decoder)[:, 0]
