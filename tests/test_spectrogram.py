import math

import pytest
import torch

from moshi_zoo.spectrogram import STFT, MelSpectrogram, magnitude, mel_filterbank


def test_a_sine_has_half_its_amplitude_at_every_size():
    wav = 0.8 * torch.sin(2 * math.pi * 1500 * torch.arange(24000) / 24000)
    for n_fft in (256, 512, 2048):
        magnitude = STFT(n_fft, scale="sum")(wav).abs()  # [F, T]
        assert magnitude[:, 20].max().item() == pytest.approx(0.4, rel=1e-3)
        assert magnitude[:, 20].argmax().item() == 1500 * n_fft // 24000


def test_white_noise_keeps_its_variance_at_every_size():
    noise = torch.randn(2, 48000, generator=torch.Generator().manual_seed(0))
    for n_fft in (128, 1024):
        power = STFT(n_fft, scale="energy", padding="none")(noise).abs().square()
        assert power.mean().item() == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize("samples", [1920, 1919, 2001])
def test_same_padding_gives_a_frame_per_hop_centred_on_it(samples):
    stft = STFT(512, hop=96, padding="same")
    assert stft(torch.zeros(3, 1, samples)).shape == (3, 1, 257, math.ceil(samples / 96))
    impulse = torch.zeros(samples)
    impulse[10 * 96 + 48] = 1
    assert stft(impulse).abs().sum(dim=0).argmax().item() == 10


def test_unpadded_frames_lie_inside_the_waveform():
    assert STFT(1024, padding="none")(torch.zeros(1, 30720)).shape == (1, 513, (30720 - 1024) // 256 + 1)


def test_mel_bands_are_triangles_that_meet_their_neighbours_peaks():
    filters = mel_filterbank(1025, 40, 24000, 64.0, 12000.0)  # [F, M]
    low, high = (2595 * math.log10(1 + hz / 700) for hz in (64.0, 12000.0))
    edges = [700 * (10 ** ((low + (high - low) * i / 41) / 2595) - 1) for i in range(42)]
    for band in (0, 7, 39):
        for bin_ in range(0, 1025, 3):
            hz = bin_ * 12000 / 1024
            rise = (hz - edges[band]) / (edges[band + 1] - edges[band])
            fall = (edges[band + 2] - hz) / (edges[band + 2] - edges[band + 1])
            assert filters[bin_, band].item() == pytest.approx(max(0.0, min(rise, fall)), abs=1e-6)


def test_mel_bands_above_nyquist_are_refused_with_the_limit():
    with pytest.raises(ValueError, match=r"9000.*16000.*8000"):
        MelSpectrogram(16000, 512, 40, max_hz=9000.0)


def test_spectra_stay_float32_under_autocast():
    mel = MelSpectrogram(24000, 256, 20)
    wav = torch.randn(1, 4800)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = mel(wav)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, mel(wav))


def test_built_on_the_meta_device_it_computes_its_constants_when_reset():
    wav = torch.randn(1, 4800)
    with torch.device("meta"):
        mel = MelSpectrogram(24000, 256, 20)
    mel = mel.to_empty(device="cpu")
    for module in mel.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    assert torch.equal(mel(wav), MelSpectrogram(24000, 256, 20)(wav))


@pytest.mark.parametrize("padding", ["none", "centre"])
@pytest.mark.parametrize(("n_fft", "hop", "window_length"), [(64, 16, 64), (64, 50, 40), (63, 17, 63)])
def test_spectra_and_their_gradients_are_those_of_pytorch(padding, n_fft, hop, window_length):
    stft = STFT(n_fft, hop=hop, window_length=window_length, padding=padding)
    wav = torch.randn(2, 501, requires_grad=True)
    center = padding == "centre"
    expected = torch.stft(wav, n_fft, hop, window_length, stft.window, center=center, return_complex=True)
    torch.testing.assert_close(stft(wav), expected)
    weights = torch.randn_like(expected)
    gradients = [torch.autograd.grad((y * weights).real.sum(), wav)[0] for y in (stft(wav), expected)]
    torch.testing.assert_close(*gradients)


def test_magnitudes_and_their_gradients_are_those_of_abs():
    z = torch.randn(5, 7, dtype=torch.complex64)
    z[0, 0], z[1, 1] = 0, 1e15j
    z.requires_grad_()
    torch.testing.assert_close(magnitude(z), z.abs())
    gradients = [torch.autograd.grad((y * torch.arange(7)).sum(), z)[0] for y in (magnitude(z), z.abs())]
    torch.testing.assert_close(*gradients)
