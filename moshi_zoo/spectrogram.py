"""Waveform to spectrum: the project's one STFT and one mel filterbank, float32 in every precision mode.

A leaf like ``registry`` and ``tokenizer``: discriminators and teachers (modules), spectral losses and metrics share it.
"""

import math
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Scale = Literal["none", "sum", "energy"]
Padding = Literal["none", "same", "centre"]

_TINY = 1e-20  # under every magnitude whose square float32 can hold


class STFT(nn.Module):
    """Short-time Fourier transform with a Hann window.

    Args:
        n_fft: transform size in samples, and the window's length unless that is given.
        hop: samples from frame to frame; a quarter of ``n_fft`` by default.
        window_length: a shorter window, centred in the transform.
        scale: what the window is divided by. ``"sum"``: a sine of amplitude a has magnitude a / 2 at every size.
            ``"energy"`` (root of the summed squares): white noise keeps its variance at every size.
        padding: ``"none"``: only whole frames. ``"same"``: reflected edges, ceil(S / hop) frames, frame t centred on
            (t + 1/2) hop. ``"centre"``: reflected edges, frame t centred on t hop.
    """

    window: Tensor

    def __init__(
        self,
        n_fft: int,
        *,
        hop: int | None = None,
        window_length: int | None = None,
        scale: Scale = "none",
        padding: Padding = "same",
    ) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.hop = hop or n_fft // 4
        self.scale = scale
        self.padding = padding
        self.register_buffer("window", torch.empty(window_length or n_fft), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Compute the window (again: a module built on the meta device starts without it)."""
        window = torch.hann_window(len(self.window), device=self.window.device)
        divisor = {"none": torch.ones_like(window[0]), "sum": window.sum(), "energy": window.norm()}[self.scale]
        self.window.copy_(window / divisor)

    def forward(self, wav: Tensor) -> Tensor:
        """``[..., S] -> [..., F, T]`` complex64, F = n_fft / 2 + 1."""
        with torch.autocast(wav.device.type, enabled=False):
            flat = wav.float().reshape(-1, wav.shape[-1])
            if self.padding == "same":
                flat = self._pad_to_whole_frames(flat)
            elif self.padding == "centre":
                flat = F.pad(flat, (self.n_fft // 2, self.n_fft // 2), mode="reflect")
            missing = self.n_fft - len(self.window)
            window = F.pad(self.window, (missing // 2, missing - missing // 2))
            spectrum = cast("Tensor", _Spectra.apply(flat, window, self.hop)).mT
        return spectrum.reshape(*wav.shape[:-1], *spectrum.shape[-2:])

    def _pad_to_whole_frames(self, wav: Tensor) -> Tensor:
        left, right = (self.n_fft - self.hop) // 2, (self.n_fft - self.hop + 1) // 2
        return F.pad(F.pad(wav, (left, right), mode="reflect"), (0, -wav.shape[-1] % self.hop))


class MelSpectrogram(nn.Module):
    """Spectrogram on the HTK mel scale.

    Args:
        sample_rate: of the waveform, in Hz.
        n_fft: transform size in samples.
        num_mels: number of bands. On a short transform low bands may hold no bin: they stay empty.
        min_hz: lower edge of the first band.
        max_hz: upper edge of the last band; Nyquist by default.
        power: 1 sums magnitudes into bands, 2 sums powers.
        hop: samples from frame to frame; a quarter of ``n_fft`` by default.
        window_length: a shorter window, centred in the transform.
        scale: as for `STFT`.
        padding: as for `STFT`.
    """

    filters: Tensor

    def __init__(
        self,
        sample_rate: int,
        n_fft: int,
        num_mels: int,
        *,
        min_hz: float = 0.0,
        max_hz: float | None = None,
        power: Literal[1, 2] = 1,
        hop: int | None = None,
        window_length: int | None = None,
        scale: Scale = "sum",
        padding: Padding = "same",
    ) -> None:
        super().__init__()
        self.stft = STFT(n_fft, hop=hop, window_length=window_length, scale=scale, padding=padding)
        self.power = power
        self.band_limits = (sample_rate, min_hz, max_hz or sample_rate / 2)
        self.register_buffer("filters", torch.empty(n_fft // 2 + 1, num_mels), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Compute the filterbank (again: a module built on the meta device starts without it)."""
        num_bins, num_mels = self.filters.shape
        self.filters.copy_(mel_filterbank(num_bins, num_mels, *self.band_limits))

    def forward(self, wav: Tensor) -> Tensor:
        """``[..., S] -> [..., M, T]`` float32, M mel bands."""
        spectrum = self.stft(wav)
        energy = magnitude(spectrum) if self.power == 1 else spectrum.real.square() + spectrum.imag.square()
        with torch.autocast(wav.device.type, enabled=False):
            return (energy.mT @ self.filters).mT


def magnitude(spectrum: Tensor) -> Tensor:
    """Absolute values of complex numbers; several times as fast as ``abs`` and its gradient on a CPU."""
    return cast("Tensor", _Magnitude.apply(spectrum))


class _Spectra(torch.autograd.Function):
    """Windowed frames of waveforms in the frequency domain: [N, S], window [n] -> [N, T, n / 2 + 1].

    PyTorch's own gradient of a real transform is a complex one of twice the size; the real one that it could be takes
    half the time.
    """

    @staticmethod
    def forward(ctx: Any, wav: Tensor, window: Tensor, hop: int) -> Tensor:
        ctx.save_for_backward(window)
        ctx.hop, ctx.num_samples = hop, wav.shape[-1]
        return torch.fft.rfft(wav.unfold(-1, len(window), hop) * window)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (window,) = ctx.saved_tensors
        num_once = [0, -1] if len(window) % 2 == 0 else [0]
        gradient = gradient.clone()
        gradient[..., num_once] *= 2  # the inverse transform counts all other bins twice
        frames = torch.fft.irfft(gradient, n=len(window), norm="forward") * (window / 2)
        return _overlap_add(frames, ctx.hop, ctx.num_samples), None, None


class _Magnitude(torch.autograd.Function):
    """|z|, with the gradient z / |z|, and 0 at 0."""

    @staticmethod
    def forward(ctx: Any, spectrum: Tensor) -> Tensor:
        result = (spectrum.real.square() + spectrum.imag.square()).sqrt_()
        ctx.save_for_backward(spectrum, result)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        spectrum, result = ctx.saved_tensors
        factor = gradient / result.clamp(min=_TINY)
        return torch.view_as_complex(torch.view_as_real(spectrum) * factor[..., None])


def _overlap_add(frames: Tensor, hop: int, num_samples: int) -> Tensor:
    """[N, T, n] -> [N, S]."""
    N, T, n = frames.shape
    parts = -(-n // hop)  # a frame reaches into this many hops
    frames = F.pad(frames, (0, parts * hop - n))
    y = frames.new_zeros(N, T + parts - 1, hop)
    for part in range(parts):
        y[:, part : part + T] += frames[..., part * hop : (part + 1) * hop]
    y = y.flatten(1)[:, :num_samples]
    return F.pad(y, (0, num_samples - y.shape[1]))  # samples after the last whole frame


def mel_filterbank(num_bins: int, num_mels: int, sample_rate: int, min_hz: float, max_hz: float) -> Tensor:
    """Triangles of height 1, equally spaced on the HTK mel scale: ``[F, M]``.

    Raises:
        ValueError: if the band limits are not 0 <= min_hz < max_hz <= sample_rate / 2.
    """
    if not 0 <= min_hz < max_hz <= sample_rate / 2:
        raise ValueError(
            f"mel bands from {min_hz} to {max_hz} Hz do not fit a sample rate of {sample_rate} Hz: "
            f"choose 0 <= min_hz < max_hz <= {sample_rate / 2}"
        )
    exact = {"dtype": torch.float64, "device": "cpu"}  # not every device has float64
    edges = mel_to_hz(torch.linspace(hz_to_mel(min_hz), hz_to_mel(max_hz), num_mels + 2, **exact))
    bins = torch.linspace(0, sample_rate / 2, num_bins, **exact)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0).float()


def hz_to_mel(hz: float) -> float:
    """HTK mel scale."""
    return 2595 * math.log10(1 + hz / 700)


def mel_to_hz(mel: Tensor) -> Tensor:
    """Inverse of `hz_to_mel`."""
    return 700 * (10 ** (mel / 2595) - 1)
