"""An independent listener: which words are said in a stretch of speech, and when?

A small convolutional network on log-mel frames that knows a few hundred words. It sees half a second to either side, so
that it hears words and guesses none from what was said before; and it has heard neither a codec nor a language model.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soxr
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from moshi_zoo.data.dialogue import normalise_answer
from moshi_zoo.evaluation.answers import SpokenWord
from moshi_zoo.spectrogram import MelSpectrogram

LISTENING_RATE = 16_000
"""What it hears, in Hz."""

FRAME_S = 0.05
"""From one frame of its output to the next."""

NOTHING_SAID = 0
"""The class of frames in which no word has its middle."""

_MARGIN_FRAMES = 6  # of silence are put around what is heard: it has learnt words with silence around them
_NUM_MELS, _MIN_HZ, _MAX_HZ, _N_FFT = 40, 60.0, 7000.0, 512
MEL_FRAMES = 4
"""Of the mel spectrogram, for one of the output."""

_HOP = round(LISTENING_RATE * FRAME_S) // MEL_FRAMES
_FLOOR = 0.01  # of the loudest: what is 40 dB below it is noise to the network
_QUIETEST = 0.003  # mel magnitude: if the loudest is below, nobody speaks
_LEVEL_QUANTILE = 0.99
_WEIGHTS, _ABOUT = "listener.safetensors", "listener.json"


class Listener(nn.Module):
    """Names the words in speech; 0.3 M parameters for 300 words.

    Args:
        words: that it knows.
        sound: word -> the known word that it sounds like ("to" -> "two"); others sound like themselves.
        width: channels.
        dilations: of the layers, in frames of 50 ms.
    """

    def __init__(
        self,
        words: Sequence[str],
        sound: Mapping[str, str] | None = None,
        *,
        width: int = 128,
        dilations: Sequence[int] = (1, 2, 3, 2, 1),
    ):
        super().__init__()
        self.words, self.sound, self.width, self.dilations = list(words), dict(sound or {}), width, tuple(dilations)
        self.mel = MelSpectrogram(LISTENING_RATE, _N_FFT, _NUM_MELS, min_hz=_MIN_HZ, max_hz=_MAX_HZ, hop=_HOP)
        self.front = nn.Sequential(
            *(nn.Conv1d(_NUM_MELS, width, 5, stride=2, padding=2), nn.BatchNorm1d(width), nn.ReLU()),
            *(nn.Conv1d(width, width, 5, stride=2, padding=2), nn.BatchNorm1d(width), nn.ReLU()),
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *(nn.Conv1d(width, width, 3, padding=d, dilation=d), nn.BatchNorm1d(width), nn.ReLU()),
                nn.Dropout(0.1),
            )
            for d in dilations
        )
        self.output = nn.Conv1d(width, 1 + len(words), 1)

    def spectrum(self, wav: Tensor) -> Tensor:
        """Waveform [S] at :data:`LISTENING_RATE` -> mel magnitudes [M, T], 1 where it is loud; T a multiple of 4."""
        mel = self.mel(F.pad(wav, (0, max(0, _N_FFT - len(wav)))))
        loudest = torch.quantile(mel.amax(0), _LEVEL_QUANTILE).clamp(min=_QUIETEST)
        return F.pad(mel / loudest, (0, -mel.shape[1] % MEL_FRAMES))

    def forward(self, spectrum: Tensor) -> Tensor:
        """Mel magnitudes [B, M, T] -> logits [B, 1 + V, T / 4]: nothing, or the word whose middle is there."""
        x = self.front((spectrum + _FLOOR).log())
        for block in self.blocks:
            x = x + block(x)
        return self.output(x)

    def knows(self, word: str) -> bool:
        """Whether it can name a word."""
        return self.heard_as(word) in self.words

    def heard_as(self, text: str) -> str:
        """A text in the words in which it would be heard: lower case, no punctuation, one of those that sound alike."""
        return " ".join(self.sound.get(word, word) for word in normalise_answer(text).split())

    @torch.inference_mode()
    def hear(self, wav: Tensor, sample_rate: int) -> list[SpokenWord]:
        """The words in a waveform [S], in order, with the time of their middle."""
        resampled = soxr.resample(wav.cpu().numpy(), sample_rate, LISTENING_RATE, quality="HQ")
        padded = np.pad(resampled.astype(np.float32), _MARGIN_FRAMES * MEL_FRAMES * _HOP)
        words = self._words(self(self.spectrum(torch.from_numpy(padded))[None])[0].softmax(0))
        return [SpokenWord(word.text, word.start_s - _MARGIN_FRAMES * FRAME_S) for word in words]

    def save(self, folder: Path) -> None:
        """Write weights and words."""
        about = {"words": self.words, "sound": self.sound, "width": self.width, "dilations": self.dilations}
        (folder / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
        save_file(self.state_dict(), folder / _WEIGHTS)

    @classmethod
    def load(cls, folder: Path) -> "Listener":
        """Read what :meth:`save` wrote."""
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        listener = cls(about["words"], about["sound"], width=about["width"], dilations=about["dilations"])
        listener.load_state_dict(load_file(folder / _WEIGHTS))
        return listener.eval()

    def _words(self, shares: Tensor) -> list[SpokenWord]:
        """Probabilities [1 + V, T] -> a word for each stretch of frames in which one is likelier than none."""
        is_said = (shares[NOTHING_SAID] < 0.5).tolist()
        found, begin = [], None
        for frame, said in enumerate([*is_said, False]):
            if said and begin is None:
                begin = frame
            elif not said and begin is not None:
                word = int(shares[1:, begin:frame].sum(1).argmax())
                found.append(SpokenWord(self.words[word], (begin + frame) / 2 * FRAME_S))
                begin = None
        return found
