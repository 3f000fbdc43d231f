"""An independent listener: is a single word still understood after the codec?

A small convolutional network on log-mel frames, trained on recordings alone: it never hears a codec. With noise, tempo
and equaliser augmentation so that what it judges is the word, not the channel or the cleanliness of the recording.
Trained on four speakers' spoken digits it knows 89 % of an unseen fifth's (85 % without the equaliser).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moshi_zoo.evaluation.measurement import SHARE, CodedClip, Measure, Value
from moshi_zoo.spectrogram import MelSpectrogram

_NUM_MELS, _MIN_HZ, _MAX_HZ = 40, 60.0, 4000.0
_FLOOR = 0.03  # of the loudest: what is 30 dB below it is noise to the network
_FRAMES_PER_SECOND = 80
_SNR_DB, _TEMPO = (5.0, 38.0), (0.8, 1.25)  # of the augmentation
_EQUALISER_DB, _EQUALISER_WAVES = 6.0, 4
_COPIES, _EPOCHS, _BATCH = 4, 8, 64
_LEARNING_RATE = 3e-3
_LEAST_FRAMES = 8


class WordNet(nn.Module):
    """Names the word of a clip; 27 k parameters for ten words.

    Its input is relative to the clip's loudest sound, so level does not matter; the length of the clip may vary.

    Args:
        words: that it knows.
        sample_rate: of what it hears, in Hz.
    """

    def __init__(self, words: Sequence[str], sample_rate: int):
        super().__init__()
        self.words, self.sample_rate = list(words), sample_rate
        self.n_fft = 2 ** round(math.log2(0.04 * sample_rate))
        self.mel = MelSpectrogram(
            sample_rate,
            self.n_fft,
            _NUM_MELS,
            min_hz=_MIN_HZ,
            max_hz=min(_MAX_HZ, sample_rate / 2),
            hop=sample_rate // _FRAMES_PER_SECOND,
        )
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)),
            nn.AdaptiveMaxPool2d((_NUM_MELS // 8, 1)),  # the loudest answer over time, band by band
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(64 * _NUM_MELS // 8, len(self.words)),
        )

    def features(self, wav: Tensor) -> Tensor:
        """Waveform [S] -> log-mel frames [M, T], 0 at the loudest."""
        mel = self.mel(F.pad(wav, (0, max(0, self.n_fft - len(wav)))))
        mel = (mel / mel.max().clamp(min=1e-5) + _FLOOR).log()
        return F.pad(mel, (0, max(0, _LEAST_FRAMES - mel.shape[1])), value=_silence())

    def forward(self, features: Tensor) -> Tensor:
        """Log-mel frames [B, M, T] -> logits [B, V]."""
        return self.layers(features[:, None])

    @torch.inference_mode()
    def hear(self, wav: Tensor) -> str:
        """The word in a clip [S]."""
        return self.words[int(self(self.features(wav)[None]).argmax())]


@dataclass(frozen=True)
class Example:
    """A clip [S] of one word."""

    wav: Tensor
    word: str


def train_recogniser(
    examples: Sequence[Example],
    sample_rate: int,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    epochs: int = _EPOCHS,
) -> WordNet:
    """Train a network; for 1800 spoken digits 80 s on one core.

    Args:
        examples: clips of at least two words.
        sample_rate: theirs, in Hz.
        seed: of weights, augmentation and order; torch's own generator is left alone.
        device: where to train.
        epochs: passes over the clips, each in four versions.

    Raises:
        ValueError: if there are not two words to tell apart.
    """
    words = sorted({example.word for example in examples})
    if len(words) < 2:
        raise ValueError(f"a recogniser needs clips of at least two different words; these hold {words or 'none'}")
    device = torch.device(device)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        net = WordNet(words, sample_rate).to(device)
        with torch.no_grad():
            clips = [wav for example in examples for wav in _versions(example.wav, sample_rate, generator)]
            versions = [net.features(wav.to(device)) for wav in clips]
        labels = torch.tensor([words.index(e.word) for e in examples], device=device).repeat_interleave(_COPIES)
        _fit(net.train(), versions, labels, generator, epochs)
    return net.eval()


class Recognition:
    """Whether the recogniser hears the right word, in the original and in what the codec makes of it.

    Args:
        net: trained on other clips.
    """

    def __init__(self, net: WordNet):
        self.net = net

    def __call__(self, coded: CodedClip) -> dict[Measure, Value]:
        """1 or 0 for each; nan for a word that the recogniser never met."""
        word = coded.clip.word
        heard = {None: coded.wav, **{k: wav[: len(coded.wav)] for k, wav in coded.decoded.items()}}
        return {
            Measure("recognised", "words recognised", SHARE, num_codebooks=k): Value(
                float(self.net.hear(wav) == word) if word in self.net.words else float("nan")
            )
            for k, wav in heard.items()
        }


def _versions(wav: Tensor, sample_rate: int, generator: torch.Generator) -> list[Tensor]:
    """The clip, and copies of it at another tempo (and pitch), through another microphone, with noise."""
    versions = [wav]
    for _ in range(_COPIES - 1):
        tempo, snr = (float(torch.empty(1).uniform_(*span, generator=generator)) for span in (_TEMPO, _SNR_DB))
        stretched = F.interpolate(wav[None, None], size=max(round(len(wav) / tempo), 1), mode="linear")[0, 0]
        stretched = _equalised(stretched, sample_rate, generator)
        noise = torch.randn(len(stretched), generator=generator)
        versions.append(stretched + noise * stretched.square().mean().sqrt() * 10 ** (-snr / 20))
    return versions


def _equalised(wav: Tensor, sample_rate: int, generator: torch.Generator) -> Tensor:
    """With smooth gains drawn over frequency: waves on its square root, a few up to where speech ends."""
    spectrum = torch.fft.rfft(wav)
    place = torch.linspace(0, sample_rate / 2 / _MAX_HZ, len(spectrum)).sqrt()
    heights = torch.empty(_EQUALISER_WAVES, 1).uniform_(-_EQUALISER_DB, _EQUALISER_DB, generator=generator)
    waves = torch.cos(math.pi * torch.arange(1, _EQUALISER_WAVES + 1)[:, None] * place)
    return torch.fft.irfft(spectrum * 10 ** ((heights * waves).sum(0) / 20), n=len(wav))


def _fit(net: WordNet, versions: list[Tensor], labels: Tensor, generator: torch.Generator, epochs: int) -> None:
    lengths = torch.tensor([features.shape[1] for features in versions])
    batches = max(len(versions) // _BATCH, 1)
    optimizer = torch.optim.AdamW(net.parameters(), lr=_LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=epochs * batches)
    for _ in range(epochs):
        by_length = torch.randperm(len(versions), generator=generator)
        # Sorted within a few batches: clips of a batch are about as long, without always meeting the same others.
        by_length = torch.cat([some[lengths[some].argsort(stable=True)] for some in by_length.split(16 * _BATCH)])
        chunks = by_length.tensor_split(batches)
        for number in torch.randperm(batches, generator=generator).tolist():
            chosen = chunks[number].tolist()
            logits = net(_padded([versions[i] for i in chosen]))
            loss = F.cross_entropy(logits, labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def _padded(features: list[Tensor]) -> Tensor:
    """[B, M, T]; shorter clips end in silence."""
    T = max(f.shape[1] for f in features)
    return torch.stack([F.pad(f, (0, T - f.shape[1]), value=_silence()) for f in features])


def _silence() -> float:
    return math.log(_FLOOR)
